//! How a [`RedisStore`] is opened.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use acs_identity_core::{Namespace, Result};
use redis::{ClientTlsConfig, TlsCertificates};
use tokio::time::{Instant, timeout_at};

use crate::check;
use crate::error::Failure;
use crate::nodes::{Address, Deployment, Node, Nodes, Settings};
use crate::store::{RedisStore, named};

/// How a [`RedisStore`] is opened: which servers, with what deadlines, and what they have to promise.
#[derive(Clone)]
#[must_use]
pub struct RedisOptions {
    kind: Kind,
    urls: Vec<String>,
    namespace: Namespace,
    connect_timeout: Duration,
    response_timeout: Duration,
    call_deadline: Duration,
    acknowledged: Option<(u32, Duration)>,
    allow_eviction: bool,
    certificates: Certificates,
}

#[derive(Debug, Clone)]
enum Kind {
    Single,
    Sentinel { name: String, sentinels: Vec<String> },
    Cluster,
}

#[derive(Debug, Clone, Default)]
struct Certificates {
    authority: Option<PathBuf>,
    own: Option<(PathBuf, PathBuf)>,
}

/// The longest deadline that there is, so that every one has an end.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl RedisOptions {
    /// One server: `redis://user:password@host:6379/0`, with `rediss://` for TLS. A user needs a password; a password
    /// alone is that of the user `default`.
    pub fn url(url: impl Into<String>) -> Self {
        Self::new(Kind::Single, vec![url.into()])
    }

    /// A cluster, by some of its nodes; one is enough if it is there when the store is opened. The first URL also says
    /// the user, the password, and whether to use TLS, for all nodes.
    pub fn cluster<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Self {
        Self::new(Kind::Cluster, urls.into_iter().map(Into::into).collect())
    }

    /// The primary that sentinels know by a name. The URL says the user, the password, the database and whether to use
    /// TLS for the primary; its host and port are not used. Those of the sentinels say how to reach them.
    pub fn sentinel<U: Into<String>>(
        url: impl Into<String>,
        name: impl Into<String>,
        sentinels: impl IntoIterator<Item = U>,
    ) -> Self {
        let sentinels = sentinels.into_iter().map(Into::into).collect();
        Self::new(Kind::Sentinel { name: name.into(), sentinels }, vec![url.into()])
    }

    fn new(kind: Kind, urls: Vec<String>) -> Self {
        Self {
            kind,
            urls,
            namespace: Namespace::default(),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(2),
            call_deadline: Duration::from_secs(5),
            acknowledged: None,
            allow_eviction: false,
            certificates: Certificates::default(),
        }
    }

    /// The namespace; `default` by default.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// How long a connection may take to be made; 1 s by default, and at most a year.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.min(LONGEST);
        self
    }

    /// How long a server may take to answer a command before its connection is given up; 2 s by default, and at most
    /// nine tenths of the call's deadline.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout.min(LONGEST);
        self
    }

    /// How long a call may take in all, with waiting for a connection, for a failover and for the answers; 5 s by
    /// default, and at most a year. Calls of many steps, such as `unlink_customer` and `purge_expired`, have it for
    /// each step, and `link_many` and `import` for each part of 2000.
    pub fn call_deadline(mut self, deadline: Duration) -> Self {
        self.call_deadline = deadline.min(LONGEST);
        self
    }

    /// Says that a write has succeeded only when so many replicas have it, and waits for them at most so long (`WAIT`).
    /// A write that is done but not acknowledged is `OutcomeUnknown`; in a cluster one whose index entry is not
    /// acknowledged is not done, and `Unavailable`. Writes then take turns on a connection of their own to each node.
    /// By default none is asked for, and a failover may lose the last writes.
    pub fn replica_acknowledgements(mut self, replicas: u32, patience: Duration) -> Self {
        self.acknowledged = (replicas > 0).then_some((replicas, patience));
        self
    }

    /// Takes servers that may throw mappings away when their memory is full (`maxmemory-policy` other than
    /// `noeviction`). What was thrown away reads as absent, which breaks the promise that a failure never does.
    pub fn allow_eviction(mut self, allow: bool) -> Self {
        self.allow_eviction = allow;
        self
    }

    /// A file with the certificates, in PEM, of the authorities that the servers' are checked by, in place of the
    /// system's.
    pub fn certificate_authority(mut self, file: impl Into<PathBuf>) -> Self {
        self.certificates.authority = Some(file.into());
        self
    }

    /// Files with a certificate of one's own and its key, in PEM, for servers that ask for one.
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificates.own = Some((certificate.into(), key.into()));
        self
    }

    /// Connects, and checks that the servers can keep the store's promises: their version, their `maxmemory-policy`,
    /// and whether they are what the options say, one server, a primary or a cluster. Each master is checked, this
    /// once: set servers that join later, and replicas, which may be promoted, as the masters are.
    ///
    /// # Errors
    /// `Misconfigured` if the options make no sense, before anybody is asked, or a server is not fit, or TLS fails for
    /// a reason that stays; `Denied` if the user, the password or the user's rights are wrong; these at once.
    /// `Unavailable` and `Timeout` if no server could be asked by the call's deadline.
    pub async fn open(self) -> Result<RedisStore> {
        self.connect().await.map_err(named("open"))
    }

    async fn connect(self) -> Result<RedisStore, Failure> {
        let end = Instant::now() + self.call_deadline;
        if [self.connect_timeout, self.response_timeout, self.call_deadline].contains(&Duration::ZERO) {
            return Err(Failure::Setup("a deadline of no length cannot be kept"));
        }
        // By the end of a call, a connection on which nothing came back to it has to be given up, or nobody ever does.
        let response_timeout = self.response_timeout.min(self.call_deadline * 9 / 10);
        if self.acknowledged.is_some_and(|(_, patience)| patience.as_millis() == 0 || patience >= response_timeout) {
            return Err(Failure::Setup("waiting for replicas has to take a time, and less than waiting for an answer"));
        }
        if matches!(&self.kind, Kind::Sentinel { name, .. } if name.is_empty()) {
            return Err(Failure::Setup("the primary behind sentinels needs a name"));
        }
        let certificates = self.certificates.read()?;
        let settings = |urls: &[String]| Settings::new(urls, &certificates, (self.connect_timeout, response_timeout));
        let (mut own, mut addresses) = settings(&self.urls)?;
        own.acknowledged = self.acknowledged;
        own.primary_only = matches!(self.kind, Kind::Sentinel { .. });
        let own = Arc::new(own);
        let nodes = |addresses: Vec<Address>, settings: &Arc<Settings>| -> Result<Vec<_>, Failure> {
            let node = |(host, port)| Node::new(host, port, settings.clone()).map(Arc::new);
            addresses.into_iter().map(node).collect()
        };
        let deployment = match self.kind {
            Kind::Single => Deployment::Single(addresses.swap_remove(0)),
            Kind::Sentinel { name, sentinels } => {
                let (settings, addresses) = settings(&sentinels)?;
                Deployment::Sentinel { sentinels: nodes(addresses, &Arc::new(settings))?, name }
            }
            Kind::Cluster if own.has_database() => {
                return Err(Failure::Setup("a cluster has no databases but the first"));
            }
            Kind::Cluster => Deployment::Cluster { seeds: nodes(addresses, &own)? },
        };
        let nodes = timeout_at(end, Nodes::find(deployment, own)).await.map_err(|_| Failure::NoAnswer)??;
        check::servers(&nodes, self.allow_eviction, self.acknowledged.is_some(), end).await?;
        Ok(RedisStore::new(nodes, self.call_deadline, self.namespace))
    }
}

impl Certificates {
    fn read(&self) -> Result<TlsCertificates, Failure> {
        const BAD: Failure = Failure::Setup("a file with a certificate or a key cannot be read");
        let read = |path: &PathBuf| std::fs::read(path).map_err(|_| BAD);
        let client_tls = match &self.own {
            Some((certificate, key)) => {
                Some(ClientTlsConfig { client_cert: read(certificate)?, client_key: read(key)? })
            }
            None => None,
        };
        let root_cert = self.authority.as_ref().map(read).transpose()?;
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

/// Without the URLs, in which there may be a password.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("namespace", &self.namespace)
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("call_deadline", &self.call_deadline)
            .field("replica_acknowledgements", &self.acknowledged)
            .field("allow_eviction", &self.allow_eviction)
            .finish_non_exhaustive()
    }
}
