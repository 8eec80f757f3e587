//! Prometheus alone, and the way of samples into it: its remote-write receiver takes series with their own timestamps,
//! marks of ended series included.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use sluice_simulations::promql::{Labels, Point, SeriesStore};
use sluice_tests::http::{self, Connection};
use sluice_tests::inside::Inside;
use sluice_tests::plane::{Component, ports};
use sluice_tests::{Shared, wait_until};

/// On a machine that builds at the same time.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// A running Prometheus that scrapes nothing.
pub struct Prometheus {
    component: Mutex<Component>,
    authority: String,
}

impl Shared for Prometheus {
    fn dead_components(&self) -> Vec<String> {
        let mut component = self.component.lock().expect("nothing panics while it holds the lock");
        component.death().into_iter().collect()
    }
}

impl Prometheus {
    /// Starts it and waits until it is ready.
    pub async fn start(inside: &Inside) -> Result<Prometheus> {
        let configuration = inside.state.join("prometheus.yaml");
        std::fs::write(&configuration, "scrape_configs: []\n").context("write the configuration")?;
        let authority = format!("127.0.0.1:{}", ports::PROMETHEUS);
        let arguments = [
            format!("--config.file={}", configuration.display()),
            format!("--web.listen-address={authority}"),
            format!("--storage.tsdb.path={}", inside.state.join("prometheus").display()),
            "--web.enable-remote-write-receiver".to_owned(),
        ];
        let component = Component::start(inside, "prometheus", &inside.programs.prometheus, &arguments, &[])?;
        let prometheus = Prometheus {
            component: Mutex::new(component),
            authority,
        };
        wait_until("a ready Prometheus", READY_WITHIN, || async {
            let answer = http::get(&prometheus.authority, "/-/ready").await?;
            Ok((answer.status == 200).then_some(()))
        })
        .await?;
        Ok(prometheus)
    }

    /// Stores all series. They can be queried when this returns.
    pub async fn write(&self, store: &SeriesStore) -> Result<()> {
        let body = snappy(&write_request(store));
        let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                       X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
        let address: SocketAddr = self.authority.parse().context("the authority is an address")?;
        let mut connection = Connection::open(address, None).await.context("connect")?;
        let answer = connection
            .post(&self.authority, "/api/v1/write", headers, &body)
            .await?;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        ensure!(answer.status == 204, "Prometheus answered {}: {said}", answer.status);
        Ok(())
    }

    /// The whole answer to a request of the HTTP API, be it an error.
    pub async fn ask(&self, path: &str) -> Result<Value> {
        let answer = http::get(&self.authority, path).await?;
        serde_json::from_slice(&answer.body).with_context(|| format!("read the answer to {path}"))
    }
}

/// The message `prometheus.WriteRequest` of the remote-write protocol 1.0 in the encoding of protocol buffers.
fn write_request(store: &SeriesStore) -> Vec<u8> {
    let mut request = Vec::new();
    for (labels, points) in store.iter() {
        field(&mut request, 1, &time_series(labels, points));
    }
    request
}

fn time_series(labels: &Labels, points: &[Point]) -> Vec<u8> {
    let mut series = Vec::new();
    for (name, value) in labels.iter() {
        let mut label = Vec::new();
        field(&mut label, 1, name.as_bytes());
        field(&mut label, 2, value.as_bytes());
        field(&mut series, 1, &label);
    }
    for point in points {
        // Field 1 is a double (wire type 1), field 2 a number of variable length (wire type 0).
        let mut sample = vec![0x09];
        sample.extend(point.value.to_bits().to_le_bytes());
        sample.push(0x10);
        number(&mut sample, point.at_ms.cast_unsigned());
        field(&mut series, 2, &sample);
    }
    series
}

/// A field with a length (wire type 2).
fn field(message: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    message.push(tag << 3 | 2);
    number(message, bytes.len() as u64);
    message.extend(bytes);
}

fn number(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    message.push(value.to_le_bytes()[0]);
}

/// The block format of Snappy without any compression: literals only.
fn snappy(bytes: &[u8]) -> Vec<u8> {
    /// The tag of a literal whose length less one follows in two bytes.
    const LITERAL: u8 = 61 << 2;
    let mut block = Vec::new();
    number(&mut block, bytes.len() as u64);
    for chunk in bytes.chunks(1 << 16) {
        let length = u16::try_from(chunk.len() - 1).expect("a chunk has at most 2^16 bytes");
        block.push(LITERAL);
        block.extend(length.to_le_bytes());
        block.extend(chunk);
    }
    block
}
