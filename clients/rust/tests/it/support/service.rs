//! A real service, in a process of its own.
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::Duration,
};

use dibs::{Client, ClientBuilder};

/// It ends with this process, or when it is dropped.
pub struct Service {
    process: Child,
    pub target: String,
}

/// One for all tests that need nothing special: its standard input is closed when the tests end, and so it ends, too. On
/// a busy machine, the next caller may come seconds after a failure, and the back-off must still run.
pub static SERVICE: LazyLock<Service> = LazyLock::new(|| Service::start(&[("DIBS_CONFIG", POLICIES)]));

const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/policies.yaml");

/// On a busy machine the service may take seconds for its first answer.
const CONNECT: Duration = Duration::from_secs(60);

const MAIN: &str = "import('./dist/main.js'); process.stdin.resume().on('end', () => process.exit())";

impl Service {
    pub fn start(env: &[(&str, &str)]) -> Self {
        Self::start_at("127.0.0.1:0", env)
    }

    pub fn start_at(listen: &str, env: &[(&str, &str)]) -> Self {
        let mut process = Command::new("node")
            .args(["--input-type=module", "-e", MAIN])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .envs([("DIBS_LISTEN", listen), ("DIBS_HTTP_LISTEN", "127.0.0.1:0"), ("DIBS_LOG_LEVEL", "error")])
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let target = line.split_whitespace().find_map(|word| word.strip_prefix("grpc=")).expect(&line).to_owned();
        Self { process, target }
    }

    /// A client in a process of its own, as far as it can tell.
    pub fn client(&self) -> Client {
        self.client_with(Client::builder())
    }

    pub fn client_with(&self, options: ClientBuilder) -> Client {
        options.target(&self.target).connect_timeout(CONNECT).build().expect("a client")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
