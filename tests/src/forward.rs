//! Ports of the machine that lead inside, for a person with a browser or kubectl.
//!
//! A socket stays in the network in which it was made, whoever holds it. So the outer program listens, and hands each
//! listener, as standard input, to a process that `nsenter` puts inside: that one accepts outside and connects inside.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result, bail};
use futures::future::select_all;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::inside;

/// A listener on 127.0.0.1 outside, and the address inside to which its connections go.
#[derive(Debug)]
pub struct Forward {
    listener: TcpListener,
    to: SocketAddr,
}

impl Forward {
    /// Listens on this port, or on any free one where it is taken.
    pub fn listen(port: u16, to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .context("listen on 127.0.0.1")?;
        Ok(Self { listener, to })
    }

    /// The port outside.
    pub fn port(&self) -> Result<u16> {
        Ok(self.listener.local_addr().context("a listener has an address")?.port())
    }
}

/// Forwards for as long as it is polled; `first` is the id of a process inside. Returns only when forwarding fails.
pub(crate) async fn run(first: u32, forwards: &[Forward]) -> Result<Infallible> {
    let program = inside::built_program("sluice-box")?;
    let mut children = Vec::new();
    for forward in forwards {
        let listener = forward.listener.try_clone().context("share a listener")?;
        let child = Command::new("nsenter")
            .args([
                "--user",
                "--net",
                "--pid",
                "--preserve-credentials",
                "--target",
                &first.to_string(),
            ])
            .arg(&program)
            .args(["forward", &forward.to.to_string()])
            .stdin(OwnedFd::from(listener))
            .kill_on_drop(true)
            .spawn()
            .context("start nsenter")?;
        children.push(child);
    }
    let (status, index, _) = select_all(children.iter_mut().map(|child| Box::pin(child.wait()))).await;
    bail!(
        "the process that forwards to {} ended: {:?}",
        forwards[index].to,
        status
    );
}

/// Inside: accepts on the listener that is our standard input, and connects each connection to `to`.
pub async fn serve(to: SocketAddr) -> Result<Infallible> {
    let listener = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .context("take the listener")?;
    let listener = TcpListener::from(listener);
    listener
        .set_nonblocking(true)
        .context("our standard input is no listener")?;
    let listener = tokio::net::TcpListener::from_std(listener).context("our standard input is no listener")?;
    loop {
        let (mut outside, _) = listener.accept().await.context("accept a connection")?;
        tokio::spawn(async move {
            // A connection that fails is closed; whoever made it sees that.
            if let Ok(mut inside) = TcpStream::connect(to).await {
                let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            }
        });
    }
}
