//! Whose turn it is to be asked: how many requests for measurements are under way at the same time.
//!
//! Each server has turns of its own, so that one that hangs holds back nobody else; all servers together have a limit that
//! bounds sockets and memory. A request first waits for its server, then for the limit of all: what waits for a slow server
//! holds nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Requests to one server (scheme, host and port) at the same time.
const PER_SERVER: usize = 16;
/// Requests at the same time.
const ALL: usize = 256;

/// The turns of all servers.
#[derive(Debug)]
pub struct Turns {
    servers: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    all: Arc<Semaphore>,
}

/// The right to send one request; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn<'t> {
    turns: &'t Turns,
    server: String,
    permits: Option<[OwnedSemaphorePermit; 2]>,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns {
            servers: Mutex::default(),
            all: Arc::new(Semaphore::new(ALL)),
        }
    }
}

impl Turns {
    /// Waits until a request to the server of `url` may be sent.
    pub async fn take(&self, url: &str) -> Turn<'_> {
        let server = server(url);
        let mut turn = Turn {
            turns: self,
            server: server.clone(),
            permits: None,
        };
        let of_server = {
            let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(PER_SERVER));
            servers.entry(server).or_insert_with(new).clone()
        };
        // Neither is ever closed.
        if let Ok(own) = of_server.acquire_owned().await
            && let Ok(all) = self.all.clone().acquire_owned().await
        {
            turn.permits = Some([own, all]);
        }
        turn
    }
}

impl Drop for Turn<'_> {
    /// A server that nobody asks any more is forgotten: names of servers come from users.
    fn drop(&mut self) {
        self.permits = None;
        let mut servers = self.turns.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if servers
            .get(&self.server)
            .is_some_and(|turns| Arc::strong_count(turns) == 1)
        {
            servers.remove(&self.server);
        }
    }
}

/// Scheme, host and port as they are written.
fn server(url: &str) -> String {
    let end = url.find("://").map_or(0, |at| at + 3);
    let length = url[end..].find(['/', '?', '#']).unwrap_or(url.len() - end);
    url[..end + length].to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_hangs_holds_back_nobody_else_and_is_forgotten() {
        let turns = Turns::default();
        let mut slow = Vec::new();
        for at in 0..PER_SERVER {
            slow.push(turns.take(&format!("http://Slow:80/{at}?q=1")).await);
        }
        assert!(turns.take("http://slow:80/more").now_or_never().is_none());
        let other = turns.take("http://fast:80/").now_or_never();
        assert!(other.is_some());
        slow.pop();
        let next = tokio::time::timeout(Duration::from_secs(1), turns.take("http://slow:80"));
        let next = next.await.expect("a turn is free again");
        drop((slow, other, next));
        assert!(turns.servers.lock().unwrap().is_empty());
        assert_eq!(turns.all.available_permits(), ALL);
    }

    #[tokio::test(start_paused = true)]
    async fn all_servers_together_have_a_limit() {
        let turns = Turns::default();
        let mut held = Vec::new();
        for at in 0..ALL {
            held.push(turns.take(&format!("http://server-{at}/")).await);
        }
        let one_more = || tokio::time::timeout(Duration::from_secs(1), turns.take("http://one-more/"));
        assert!(one_more().await.is_err());
        held.pop();
        assert!(one_more().await.is_ok());
    }

    #[test]
    fn a_server_is_scheme_host_and_port() {
        for (url, expected) in [
            ("http://a:1/x/y?z", "http://a:1"),
            ("https://A.b?x", "https://a.b"),
            ("http://[::1]:9/", "http://[::1]:9"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(server(url), expected);
        }
    }
}
