//! Which addresses may be measured.
//!
//! The URL of a measurement is written by whoever may write AnalysisRuns, and sent from where the controller stands. So
//! addresses that only mean something to this machine or to its cloud are refused, and so is the API server, also when a name
//! resolves to them. A list opens what an installation needs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Amazon's instance metadata has a unique local address beside the link-local one.
const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Which addresses may be measured.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Whether addresses of the controller's own machine may be measured. In a pod that is of no use but to reach what is not
    /// meant for others.
    pub loopback: bool,
    /// Networks that may be measured whatever else is said here.
    pub allowed: Vec<IpNet>,
    /// Where the API server listens.
    pub api_servers: BTreeSet<SocketAddr>,
}

/// Resolves names to the addresses that may be measured on a port.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    pub policy: Arc<Policy>,
    /// The port, where the API server has it too.
    pub port: Option<u16>,
}

/// A name that leads only to addresses which are refused.
#[derive(Debug, thiserror::Error)]
#[error("the name resolves to no address that may be measured")]
pub(crate) struct Refused;

impl Policy {
    /// Whether an address may be measured: not the link-local ones, where clouds serve credentials, none that is no host, our
    /// own only if that is allowed, and not the API server on its `port`.
    pub fn allows(&self, address: IpAddr, port: Option<u16>) -> bool {
        if self.allowed.iter().any(|network| network.contains(&address)) {
            return true;
        }
        if port.is_some_and(|port| self.api_servers.contains(&SocketAddr::new(address, port))) {
            return false;
        }
        match address {
            IpAddr::V4(v4) => {
                let is_nobody = v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.is_link_local();
                !is_nobody && (self.loopback || !v4.is_loopback())
            }
            IpAddr::V6(v6) => {
                if let Some(v4) = embedded(v6) {
                    return self.allows(IpAddr::V4(v4), port);
                }
                let is_nobody = v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local();
                !is_nobody && v6 != METADATA && (self.loopback || !v6.is_loopback())
            }
        }
    }

    /// The port, if the API server listens on it.
    pub(crate) fn guarded(&self, port: Option<u16>) -> Option<u16> {
        port.filter(|port| self.api_servers.iter().any(|server| server.port() == *port))
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped (`::ffff:0:0/96`), or behind a NAT64 gateway (`64:ff9b::/96`).
fn embedded(v6: Ipv6Addr) -> Option<std::net::Ipv4Addr> {
    let nat64 = matches!(v6.segments(), [0x64, 0xff9b, 0, 0, 0, 0, ..]);
    if nat64 {
        let [.., a, b, c, d] = v6.octets();
        return Some(std::net::Ipv4Addr::new(a, b, c, d));
    }
    v6.to_ipv4_mapped()
}

/// The address that a URL names outright: a resolver is not asked about those.
pub(crate) fn literal(url: &reqwest::Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
        .parse()
        .ok()
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Resolver { policy, port } = self.clone();
        Box::pin(async move {
            let all = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = all.filter(|address| policy.allows(address.ip(), port)).collect();
            if allowed.is_empty() {
                return Err(Refused.into());
            }
            let allowed: Addrs = Box::new(allowed.into_iter());
            Ok(allowed)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(loopback: bool, allowed: &[&str]) -> Policy {
        Policy {
            loopback,
            allowed: allowed.iter().map(|network| network.parse().unwrap()).collect(),
            api_servers: ["10.96.0.1:443", "[fd00::1]:6443"]
                .iter()
                .map(|address| address.parse().unwrap())
                .collect(),
        }
    }

    #[test]
    fn addresses_that_mean_this_machine_its_cloud_or_the_api_server_are_refused() {
        let rows = [
            ("10.1.2.3", true, true),
            ("8.8.8.8", true, true),
            ("2001:db8::1", true, true),
            ("127.0.0.1", false, true),
            ("127.9.9.9", false, true),
            ("::1", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("64:ff9b::7f00:1", false, true),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("64:ff9b::a9fe:a9fe", false, false),
            ("fe80::1", false, false),
            ("fd00:ec2::254", false, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("224.0.0.1", false, false),
        ];
        for (address, in_a_pod, elsewhere) in rows {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(policy(false, &[]).allows(address, Some(80)), in_a_pod, "{address}");
            assert_eq!(policy(true, &[]).allows(address, Some(80)), elsewhere, "{address}");
        }
        for (address, port, allowed) in [
            ("10.96.0.1", 443, false),
            ("10.96.0.1", 9090, true),
            ("::ffff:10.96.0.1", 443, false),
            ("fd00::1", 6443, false),
            ("10.96.0.2", 443, true),
        ] {
            let policy = policy(true, &[]);
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(
                policy.allows(address, policy.guarded(Some(port))),
                allowed,
                "{address} {port}"
            );
        }
    }

    #[test]
    fn a_list_opens_what_an_installation_needs() {
        let policy = policy(false, &["127.0.0.0/8", "169.254.1.0/24", "10.96.0.0/16"]);
        for (address, allowed) in [
            ("127.0.0.1", true),
            ("169.254.1.7", true),
            ("169.254.169.254", false),
            ("::1", false),
            ("10.96.0.1", true),
        ] {
            assert_eq!(policy.allows(address.parse().unwrap(), Some(443)), allowed, "{address}");
        }
    }

    /// Every way to write an address ends as the address, or as a name.
    #[test]
    fn every_notation_of_an_address_is_read() {
        for url in [
            "http://[::1]:9090/x",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://[::ffff:7f00:1]/",
            "http://\u{ff11}27.0.0.1/",
        ] {
            let url = reqwest::Url::parse(url).unwrap();
            let address = literal(&url).unwrap_or_else(|| panic!("{url}"));
            assert!(!policy(false, &[]).allows(address, Some(80)), "{url}");
        }
        for url in ["http://localhost/", "http://metadata.google.internal/"] {
            assert_eq!(literal(&reqwest::Url::parse(url).unwrap()), None);
        }
    }
}
