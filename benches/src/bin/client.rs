//! `client.sign_and_send_vs_raw`: tokens per second that the client issues over those of plain reqwest with a signature made before, both
//! against a server with a canned answer in a process of its own. Then of the emulator `emulator.start_ms`, until the first connection is taken, and
//! `emulator.create_user_per_s`, with the client and without rate limits, each of several runs.

use std::convert::Infallible;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use acs_identity_bench::by_hand::http as by_hand;
use acs_identity_bench::ids::acs_id;
use acs_identity_bench::print;
use acs_identity_bench::rounds::{Comparison, ROUNDS, median};
use acs_identity_client::azure_core::credentials::Secret;
use acs_identity_client::{IdentityClient, TokenScope};
use acs_identity_core::AcsId;
use acs_identity_emulator::{Emulator, RateLimits};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

const TASKS: usize = 16;
const TOKENS: usize = 400;
const USERS: usize = 8_000;
const STARTS: usize = 50;
const KEY: &str = "c2VjcmV0LWtleS1mb3ItdGVzdHM=";

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return runtime.block_on(serve());
    }
    sign_and_send(&runtime)?;
    runtime.block_on(emulator())
}

fn sign_and_send(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    let server = Server::start()?;
    let user: Arc<AcsId> = Arc::new(acs_id(1).parse()?);
    let client = IdentityClient::with_key(&server.endpoint, Secret::new(KEY), None)?;
    let address: Arc<str> = by_hand::address(&server.endpoint, user.as_str()).into();
    let reqwest = reqwest::Client::builder().no_proxy().build()?;
    let ours = || {
        time(runtime, || {
            let (client, user) = (client.clone(), user.clone());
            async move {
                for _ in 0..TOKENS {
                    client.issue_token(&user, &[TokenScope::CHAT], None).await.expect("a token");
                }
            }
        })
    };
    let theirs = || {
        time(runtime, || {
            let (reqwest, address) = (reqwest.clone(), address.clone());
            async move {
                for _ in 0..TOKENS {
                    by_hand::issue_token(&reqwest, &address).await.expect("a token");
                }
            }
        })
    };
    let compared = Comparison::measure(ours, theirs);
    print("client.sign_and_send_vs_raw", compared.throughput_ratio(), "ratio", compared.details("ns per token"));
    Ok(())
}

/// Nanoseconds of one token, in so many tasks at once.
fn time<F: Future<Output = ()> + Send + 'static>(runtime: &Runtime, tokens: impl Fn() -> F) -> f64 {
    let started = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(tokens())).collect();
        for task in tasks {
            task.await.expect("no failure");
        }
    });
    started.elapsed().as_nanos() as f64 / (TASKS * TOKENS) as f64
}

async fn emulator() -> Result<(), Box<dyn Error>> {
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let started = Instant::now();
        let emulator = Emulator::start().await?;
        let authority = emulator.endpoint().trim_start_matches("http://").to_owned();
        drop(TcpStream::connect(authority).await?);
        starts.push(started.elapsed().as_secs_f64() * 1000.0);
        emulator.stop().await;
    }
    let details = json!({ "starts": STARTS, "spread": spread(&starts) });
    print("emulator.start_ms", median(starts), "ms", details);

    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.push(users_per_second().await?);
    }
    let details = json!({ "in_flight": TASKS, "users": USERS, "rounds": rates, "spread": spread(&rates) });
    print("emulator.create_user_per_s", median(rates), "1/s", details);
    Ok(())
}

/// How many users a new emulator makes in a second, for so many tasks at once.
async fn users_per_second() -> Result<f64, Box<dyn Error>> {
    let emulator = Emulator::builder().rate_limits(RateLimits::unlimited()).start().await?;
    let client = IdentityClient::from_connection_string(&emulator.connection_string(), None)?;
    let started = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                for _ in 0..USERS / TASKS {
                    client.create_user(None).await.expect("a user");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    let per_second = USERS as f64 / started.elapsed().as_secs_f64();
    assert_eq!(emulator.users().len(), USERS);
    emulator.stop().await;
    Ok(per_second)
}

/// Greatest minus smallest.
fn spread(values: &[f64]) -> f64 {
    let (least, most) =
        values.iter().fold((f64::MAX, f64::MIN), |(least, most), one| (least.min(*one), most.max(*one)));
    most - least
}

/// A process of its own that answers everything with a token, so that what is measured is not its work.
struct Server {
    process: Child,
    endpoint: String,
}

impl Server {
    fn start() -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(std::env::current_exe()?).arg("serve").stdout(Stdio::piped()).spawn()?;
        let mut endpoint = String::new();
        BufReader::new(process.stdout.take().ok_or("no output")?).read_line(&mut endpoint)?;
        Ok(Self { process, endpoint: endpoint.trim().to_owned() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[allow(clippy::print_stdout)]
async fn serve() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    let answer = Bytes::from(json!({ "token": "a".repeat(900), "expiresOn": "2030-01-01T00:00:00+00:00" }).to_string());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer.clone();
            async move {
                let _ = request.into_body().collect().await;
                let response = Response::builder().header("content-type", "application/json");
                Ok::<_, Infallible>(response.body(Full::new(answer)).expect("a response"))
            }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
