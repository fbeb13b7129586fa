//! The peer of the gateway: nginx as a reverse proxy with keep-alive connections to one instance.
//!
//! It is set up as a careful operator would: connections to both sides stay open, the headers are those that the gateway adds,
//! no access log is written, as the gateway writes none. It has as many workers as the gateway has threads.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::bare::Bare;
use super::child::Child;
use super::error::{BenchError, Doing};
use super::process::{children, processor_time};

/// Where programs for administrators are, which are seldom in PATH.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// How long it may take to listen.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked whether it does.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Nginx {
    /// Where the program is.
    ///
    /// # Errors
    /// [`BenchError::Absent`].
    pub fn find() -> Result<PathBuf, BenchError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(SYSTEM_FOLDERS.map(PathBuf::from));
        let mut programs = folders.map(|folder| folder.join("nginx"));
        programs.find(|program| program.is_file()).ok_or(BenchError::Absent { program: "nginx" })
    }

    /// Starts it in front of `instance`, with its files in `directory`.
    ///
    /// # Errors
    /// [`BenchError::Absent`], or as it does not come up.
    pub async fn start(directory: &Path, instance: SocketAddr, workers: usize) -> Result<Self, BenchError> {
        let program = Self::find()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, Bare::new()?.free_port()?));
        let file = directory.join("nginx.conf");
        std::fs::write(&file, configuration(address, instance, workers)).doing(|| "configuring nginx".to_owned())?;
        let prefix = directory.as_os_str();
        let arguments = vec!["-p".into(), prefix.into(), "-c".into(), file.into(), "-e".into(), "stderr".into()];
        let mut child = Child::spawn_other("nginx", &program, arguments, directory)?;
        let began = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            child.still_alive()?;
            if began.elapsed() > START_LIMIT {
                return Err(BenchError::TooLate { what: "nginx listening".to_owned(), limit: START_LIMIT });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(Self { child, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The processor time that it and its workers have used, where the system tells.
    pub fn processor_time(&self) -> Option<Duration> {
        let workers = children(self.child.pid()).into_iter().filter_map(|worker| processor_time(worker.pid));
        Some(processor_time(self.child.pid())? + workers.sum::<Duration>())
    }

    /// Ends it.
    pub async fn stop(self) {
        self.child.stop().await;
    }
}

fn configuration(listen: SocketAddr, instance: SocketAddr, workers: usize) -> String {
    format!(
        "daemon off;
worker_processes {workers};
pid nginx.pid;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  upstream instance {{
    server {instance};
    keepalive 512;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {listen};
    location / {{
      proxy_pass http://instance;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header Forwarded \"for=$remote_addr;host=$host;proto=$scheme\";
    }}
  }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_names_both_ends_and_its_workers() {
        let text = configuration(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into(), 3);
        for part in ["listen 127.0.0.1:1;", "server 127.0.0.1:2;", "worker_processes 3;", "keepalive 512;"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }
}
