//! A load generator that is a judge: so many requests per second whatever the answers, half of them on connections that
//! are kept, half on new ones, none repeated, and a record of each.
//!
//! Open loop: the time of a request does not depend on how earlier ones fared, so a slow proxy cannot hide failures by
//! slowing the client. It runs on a thread of its own, so a busy test does not slow it either.

mod traffic;

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

pub use traffic::{Outcome, Record, Traffic};

use crate::http::{Answer, Connection};
use crate::inside;
use crate::plane::ports;

/// How many addresses of our own new connections come from, in turn. Each has about 28,000 ports, and a port is only free
/// again a minute after its connection: 254 of them last for over 100,000 new connections per second.
const SOURCES: u32 = 254;

/// What is sent, and how much of it.
#[derive(Debug, Clone)]
pub struct LoadConfig {
    /// Where the proxy listens.
    pub target: SocketAddr,
    /// The host that is asked for.
    pub host: String,
    /// The path that is asked for.
    pub path: String,
    /// Requests per second.
    pub rate: u32,
    /// A request without a whole answer after this time has failed.
    pub timeout: Duration,
}

impl LoadConfig {
    /// Requests for this host through the plane's proxy, with a time-out of 2 s.
    pub fn new(host: &str, rate: u32) -> Self {
        let web = SocketAddr::from((Ipv4Addr::new(10, 77, 0, 1), ports::WEB));
        Self {
            target: web,
            host: host.to_owned(),
            path: "/".to_owned(),
            rate,
            timeout: Duration::from_secs(2),
        }
    }
}

/// A running load. It stops when it is told to or dropped.
#[derive(Debug)]
pub struct Load {
    records: Arc<Mutex<Vec<Record>>>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Load {
    /// Begins to send.
    pub fn start(config: LoadConfig) -> Result<Self> {
        let records = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = watch::channel(false);
        let sink = Arc::clone(&records);
        let thread = std::thread::Builder::new()
            .name("load".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .context("start the load's runtime")?;
                LocalSet::new().block_on(&runtime, send(config, &sink, stopped));
                Ok(())
            })
            .context("start the load's thread")?;
        Ok(Self {
            records,
            stop,
            thread: Some(thread),
        })
    }

    /// What is known so far; requests under way are not in it.
    pub fn so_far(&self) -> Traffic {
        let records = self.records.lock().expect("no thread panics while it holds this lock");
        Traffic::new(records.clone())
    }

    /// Waits until so many requests that were sent after `mark` are answered, and returns them.
    pub async fn requests_after(&self, mark: Instant, count: usize, within: Duration) -> Result<Traffic> {
        let what = format!("{count} answered requests");
        crate::wait_until(&what, within, || async {
            let after = self.so_far().after(mark);
            Ok((after.records().len() >= count).then_some(after))
        })
        .await
    }

    /// Waits for the first answer of a version to a request that was sent after `mark`.
    pub async fn version_after(&self, mark: Instant, version: &str, within: Duration) -> Result<()> {
        let what = format!("an answer of version {version}");
        crate::wait_until(&what, within, || async {
            let after = self.so_far().after(mark);
            Ok(after
                .records()
                .iter()
                .any(|record| record.version.as_deref() == Some(version))
                .then_some(()))
        })
        .await
    }

    /// Stops sending, waits for the answers under way and returns all records.
    pub async fn stop(mut self) -> Result<Traffic> {
        let _ = self.stop.send(true); // an ended thread needs no telling
        let thread = self.thread.take().context("the load is stopped once")?;
        tokio::task::spawn_blocking(move || thread.join())
            .await
            .context("wait for the load")?
            .map_err(|_| anyhow!("the load panicked"))??;
        Ok(self.so_far())
    }
}

async fn send(config: LoadConfig, sink: &Mutex<Vec<Record>>, mut stopped: watch::Receiver<bool>) {
    let kept: Rc<RefCell<Vec<Connection>>> = Rc::default();
    let versions = RefCell::new(Vec::new());
    let config = Rc::new(config);
    let began = tokio::time::Instant::now();
    let mut under_way = JoinSet::new();
    let mut sent: u32 = 0;
    loop {
        let due = began + Duration::from_secs(1) * sent / config.rate.max(1);
        tokio::select! {
            () = tokio::time::sleep_until(due) => {
                let (kept, config) = (Rc::clone(&kept), Rc::clone(&config));
                under_way.spawn_local(async move { one(sent, &config, &kept).await });
                sent += 1;
            }
            Some(Ok(record)) = under_way.join_next() => keep(sink, &versions, record),
            // An error means that the one who holds the load is gone.
            _ = stopped.wait_for(|stop| *stop) => break,
        }
    }
    while let Some(result) = under_way.join_next().await {
        if let Ok(record) = result {
            keep(sink, &versions, record);
        }
    }
}

/// Takes a record; equal version texts share one allocation, for there are tens of thousands of records.
fn keep(sink: &Mutex<Vec<Record>>, versions: &RefCell<Vec<Arc<str>>>, mut record: Record) {
    if let Some(version) = record.version.take() {
        let mut versions = versions.borrow_mut();
        let known = versions.iter().find(|known| **known == version).cloned();
        record.version = Some(known.unwrap_or_else(|| {
            versions.push(Arc::clone(&version));
            version
        }));
    }
    if let Ok(mut records) = sink.lock() {
        records.push(record);
    }
}

/// Sends the request with this number: even ones on a kept connection, odd ones on a new one.
async fn one(number: u32, config: &LoadConfig, kept: &RefCell<Vec<Connection>>) -> Record {
    let sent = Instant::now();
    let keep = number.is_multiple_of(2);
    let open = keep.then(|| fresh(&mut kept.borrow_mut())).flatten();
    let reused = open.is_some();
    let exchange = async {
        let mut connection = match open {
            Some(connection) => connection,
            None => Connection::open(config.target, source(number)).await?,
        };
        let answer = connection.get(&config.host, &config.path, !keep).await?;
        if answer.keep_alive {
            kept.borrow_mut().push(connection);
        }
        Ok::<Answer, io::Error>(answer)
    };
    let result = tokio::time::timeout(config.timeout, exchange).await;
    let took = sent.elapsed();
    let (version, outcome) = match result {
        Ok(Ok(answer)) => (
            answer.header("x-version").map(Arc::from),
            Outcome::Answered(answer.status),
        ),
        Ok(Err(error)) => (None, Outcome::Broken(error.to_string())),
        Err(_) => (None, Outcome::TimedOut),
    };
    Record {
        number,
        sent,
        took,
        kept_alive: keep,
        reused,
        version,
        outcome,
    }
}

/// The connection that was used last and that the proxy has not closed: a client that sees a closed connection does not
/// use it, so that is no failure of anybody's.
fn fresh(kept: &mut Vec<Connection>) -> Option<Connection> {
    std::iter::from_fn(|| kept.pop()).find(|connection| !connection.is_stale())
}

fn source(number: u32) -> Option<SocketAddr> {
    let host = u8::try_from(number / 2 % SOURCES + 1).ok()?;
    inside::is_inside().then(|| SocketAddr::from((Ipv4Addr::new(10, 77, 250, host), 0)))
}
