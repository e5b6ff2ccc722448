//! `rnn serve`: bundles behind an HTTP server.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rnn_zoo::serve::{Access, BundleSource, Limits, Options, Server};

use super::bundle_argument::Bundle;
use super::compute::Compute;
use super::flags::usage;
use super::input;
use super::number;
use super::outcome::Outcome;
use super::precision::PrecisionArg;
use crate::cli::note::note;

/// The most texts that may be written at a time, and that may wait.
const MOST_TEXTS: usize = 1_000_000;

/// The largest file of keys, in bytes.
const LARGEST_KEYS: u64 = 1 << 20;

/// Serve bundles over HTTP, with OpenAI's routes and a page
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn serve weights/lstm-shakespeare  then open http://127.0.0.1:8080
  rnn serve my-model my-classifier --port 9000
  curl -N http://127.0.0.1:8080/v1/completions \\
    -H 'Content-Type: application/json' \\
    -d '{\"prompt\": \"ROMEO:\", \"max_tokens\": 200, \"stream\": true}'
  rnn serve my-model --host 0.0.0.0 --api-key-file keys.txt

A bundle that is replaced on disk is loaded beside the old one and takes over; a broken one is refused. Ctrl-C and \
SIGTERM let running requests end.")]
pub struct Args {
    /// Bundles, or hf://OWNER/NAME; requests call each by the name of its folder
    #[arg(value_name = "BUNDLE", required_unless_present = "runs")]
    bundles: Vec<String>,

    /// Folder whose runs the page shows, also while they train
    #[arg(long, value_name = "FOLDER")]
    runs: Option<PathBuf>,

    /// IP address to listen on, or localhost; one that other machines reach needs --api-key-file or --no-auth
    #[arg(long, value_name = "ADDRESS", value_parser = host, default_value = "127.0.0.1")]
    host: IpAddr,

    /// Port to listen on; 0 takes any that is free
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port: u16,

    /// File of keys, one a line; lines that begin with "# " are comments. Requests name a key as `Authorization: Bearer
    /// KEY`
    #[arg(long, value_name = "FILE", conflicts_with = "no_auth")]
    api_key_file: Option<PathBuf>,

    /// Answer requests without a key
    #[arg(long)]
    no_auth: bool,

    /// Let web pages of this origin read answers (CORS), such as `https://example.org`, or `*` for all; may be given
    /// several times
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    allow_origin: Vec<String>,

    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    compute: Compute,
    #[command(flatten)]
    pub(super) precision: PrecisionArg,
}

/// Limits of requests.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Most texts of a bundle that are written at the same time
    #[arg(long, value_name = "N", value_parser = streams, default_value_t = 64)]
    streams: usize,

    /// Most texts that wait in the queue; further requests get status 429
    #[arg(long, value_name = "N", value_parser = queue, default_value_t = 256)]
    queue: usize,

    /// Largest body of a request, in bytes
    #[arg(long, value_name = "BYTES", value_parser = number::count, default_value_t = 1 << 20)]
    max_body: usize,

    /// Longest prompt in tokens; longest text to predict or score in bytes
    #[arg(long, value_name = "N", value_parser = number::count, default_value_t = 32_768)]
    max_prompt: usize,

    /// Most tokens that are written for a text
    #[arg(long, value_name = "N", value_parser = number::count, default_value_t = 4096)]
    max_tokens: usize,

    /// Time limit of a request, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "300")]
    timeout: Duration,

    /// Time limit for a client to send the header, and again the body, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    read_timeout: Duration,

    /// Time limit for a client to take some bytes of an answer that is ready, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    write_timeout: Duration,

    /// Time that running requests have after Ctrl-C or SIGTERM, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    grace: Duration,
}

/// Parse an IP address, or `localhost`.
fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(Ipv4Addr::LOCALHOST.into()),
        text => text.parse().map_err(|_| "expected an IP address, such as 0.0.0.0, or localhost".to_string()),
    }
}

/// Parse a number of texts that are written at a time.
fn streams(text: &str) -> Result<usize, String> {
    texts(text, 1)
}

/// Parse a number of texts that wait.
fn queue(text: &str) -> Result<usize, String> {
    texts(text, 0)
}

fn texts(text: &str, least: usize) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (least..=MOST_TEXTS).contains(count));
    count.ok_or_else(|| format!("expected a whole number from {least} to {MOST_TEXTS}"))
}

/// Parse an origin as browsers send it: `*`, `null`, or a scheme and a host in lower case, perhaps with a port.
fn origin(text: &str) -> Result<String, String> {
    let is_origin = || {
        let (scheme, host) = text.split_once("://")?;
        let colon = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let (host, port) = colon.map_or((host, None), |(host, port)| (host, Some(port)));
        // Browsers leave out the usual port.
        let usual = matches!((scheme, port), ("http", Some("80")) | ("https", Some("443")));
        let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|n| n.to_string() == port));
        let fits = |part: &str, more: &str| {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c);
            !part.is_empty() && part.chars().all(fits)
        };
        Some(fits(scheme, "+-.") && fits(host, "-._[]:") && port_fits && !usual)
    };
    match matches!(text, "*" | "null") || is_origin() == Some(true) {
        true => Ok(text.to_string()),
        false => Err("expected *, null, or an origin as browsers send it, such as https://example.org or \
                      http://localhost:3000: lower case, without a path or a usual port"
            .to_string()),
    }
}

/// Parse a time, at most a day.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.001..=86_400.).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds from 0.001 to 86400".to_string())
}

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.compute.open()?;
    let access = args.access()?;
    let bundles = args.sources()?;
    let precision = args.precision.announced();
    let limits = args.limits.limits();
    if let Some(folder) = args.runs.as_ref().filter(|folder| !folder.is_dir()) {
        return Err(usage(
            "--runs",
            format!("{} is not a folder; name one that holds runs", folder.display()),
        ));
    }
    let runs = args.runs.clone();
    let address = SocketAddr::new(args.host, args.port);
    let server = Server::bind(Options { bundles, runs, address, device, precision, access, limits })?;
    // The line that scripts wait for; --port 0 has no other way to say the port.
    writeln!(std::io::stdout(), "http://{}", server.address()?)?;
    std::io::stdout().flush()?;
    server.run()?;
    Ok(Outcome::Done)
}

impl Args {
    /// The bundles under different names.
    fn sources(&self) -> anyhow::Result<Vec<BundleSource>> {
        let mut sources: Vec<BundleSource> = vec![];
        for argument in &self.bundles {
            let bundle = Bundle::find(argument)?;
            let name = name(argument, bundle.path());
            if let Some(other) = sources.iter().find(|other| other.name == name) {
                let problem = format!(
                    "{argument} and {} would both be called {name}; rename one of the folders",
                    other.path.display()
                );
                return Err(usage("BUNDLE", problem));
            }
            sources.push(BundleSource { name, path: bundle.path().to_path_buf() });
        }
        Ok(sources)
    }

    fn access(&self) -> anyhow::Result<Access> {
        let loopback = self.host.is_loopback();
        if !loopback && self.api_key_file.is_none() && !self.no_auth {
            let problem = format!(
                "{} can be reached from other machines; add --api-key-file FILE, or --no-auth to answer requests \
                 without a key",
                self.host
            );
            return Err(usage("--host", problem));
        }
        if !loopback && self.no_auth {
            note!("--no-auth: every request to {} is answered, without a key", self.host);
        }
        let keys = self.api_key_file.as_deref().map(read_keys).transpose()?.unwrap_or_default();
        let loopback_only = loopback && keys.is_empty();
        Ok(Access { keys, origins: self.allow_origin.clone(), loopback_only })
    }
}

impl LimitArgs {
    fn limits(&self) -> Limits {
        Limits {
            body: self.max_body,
            prompt: self.max_prompt,
            length: self.max_tokens,
            streams: self.streams,
            queue: self.queue,
            time: self.timeout,
            read: self.read_timeout,
            write: self.write_timeout,
            grace: self.grace,
        }
    }
}

/// The name of a bundle in requests: that of its folder, or on the hub its address without `hf://`.
fn name(argument: &str, path: &Path) -> String {
    if let Some(address) = argument.strip_prefix("hf://") {
        return address.to_string();
    }
    // `.` and `..` have no name of their own.
    let full = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    full.file_name().map_or_else(|| argument.to_string(), |name| name.to_string_lossy().into_owned())
}

/// The keys of a file, one a line. Lines of `#`, alone or before a blank, are comments.
fn read_keys(path: &Path) -> anyhow::Result<Vec<String>> {
    let refused = |problem: String| usage("--api-key-file", format!("{}: {problem}", path.display()));
    let text = input::text(path, LARGEST_KEYS).map_err(|error| rnn_zoo::Error::file(path, error))?;
    // Editors on Windows write a byte order mark before the first key.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let is_key = |line: &&str| !line.is_empty() && *line != "#" && !line.starts_with("# ");
    let keys: Vec<String> = text.lines().map(str::trim).filter(is_key).map(String::from).collect();
    match keys.is_empty() {
        true => Err(refused("holds no key; expected one a line".into())),
        false => Ok(keys),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_that_browsers_send() {
        for text in
            ["*", "null", "https://example.org", "http://localhost:3000", "http://[::1]", "http://[::1]:8080"]
        {
            assert_eq!(origin(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "example.org",
            "https://example.org/",
            "https://example.org/a",
            "HTTPS://example.org",
            "https://Example.org",
            "https://",
            "https://example.org:",
            "https://example.org:443",
            "https://me@example.org",
            "https://example.org:99999",
            "https://a b",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }
}
