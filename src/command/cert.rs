//! `pelton cert`: a small authority for TLS between nodes, for those who have none of their own.

use std::fs;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use clap::{Args, Subcommand};
use jiff::{Span, Timestamp, tz::TimeZone};
use pelton_env::{Clock as _, SystemClock};
use pelton_peer::{Tls, TlsFiles};
use pelton_resource::is_dns_label;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _, date_time_ymd,
};

use super::print_line;
use crate::exit::Failure;

/// The authority's name. A certificate names its issuer, so every authority that is made here has the same one; nodes
/// tell them apart by the key.
const AUTHORITY: &str = "Pelton cluster authority";

/// The authority's files in its folder.
const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";

/// How long an authority lasts by default: longer than most machines.
const CA_DAYS: u32 = 3_650;

/// How long a node's certificate lasts by default: as long as browsers allow one to.
const NODE_DAYS: u32 = 398;

/// Clocks of machines differ by less than this.
const SKEW_DAYS: i64 = 1;

/// What `pelton cert` takes.
#[derive(Debug, Args)]
#[command(after_help = "Make the authority once, on a machine that can be trusted, and keep ca-key.pem there. Make a \
                        certificate for each node, with every name and address that other nodes dial, and bring it \
                        to the node with ca.pem.\n\n\
                        Examples:\n  pelton cert ca --dir ./pki\n  \
                        pelton cert node a --dir ./pki --host a.example.com --host 10.0.0.1\n  \
                        pelton server --name a --peer-ca ca.pem --peer-cert a.pem --peer-key a-key.pem ...")]
pub struct CertArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an authority: ca.pem, which every node gets, and ca-key.pem, which none does
    Ca {
        /// Where the files go
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
        /// How long it lasts
        #[arg(long, value_name = "DAYS", default_value_t = CA_DAYS, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
    /// Make a node's certificate and key: NAME.pem and NAME-key.pem
    Node {
        /// The node's name: a DNS label
        name: String,
        /// Where ca.pem and ca-key.pem are, and where the files go
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
        /// A host name or address by which other nodes dial this one; once for each
        #[arg(long = "host", value_name = "HOST", required = true)]
        hosts: Vec<String>,
        /// How long it lasts
        #[arg(long, value_name = "DAYS", default_value_t = NODE_DAYS, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
}

/// Makes certificates.
pub fn run(args: &CertArgs) -> Result<(), Failure> {
    match &args.verb {
        Verb::Ca { dir, days } => {
            make_authority(dir, *days)?;
            print_line(&format!(
                "{} is for every node\n{} stays here: whoever has it can make nodes",
                dir.join(CA).display(),
                dir.join(CA_KEY).display()
            ))
        }
        Verb::Node { name, dir, hosts, days } => {
            let files = make_node(dir, name, hosts, *days)?;
            print_line(&format!("{}\n{}", files.certificate.display(), files.key.display()))
        }
    }
}

fn make_authority(dir: &Path, days: u32) -> Result<(), Failure> {
    fs::create_dir_all(dir).map_err(|error| Failure::failed(&dir.display().to_string(), &error))?;
    let key = KeyPair::generate().map_err(cannot)?;
    let mut params = authority();
    last(&mut params, days)?;
    let certificate = params.self_signed(&key).map_err(cannot)?;
    // An authority that is written over takes every certificate it made with it.
    write_new(&dir.join(CA_KEY), &key.serialize_pem(), 0o600)?;
    write_new(&dir.join(CA), &certificate.pem(), 0o644)
}

fn make_node(dir: &Path, name: &str, hosts: &[String], days: u32) -> Result<TlsFiles, Failure> {
    if !is_dns_label(name) {
        return Err(Failure::Usage(format!("{name:?} is no name of a node: lower-case letters, digits and hyphens")));
    }
    let issuer = read_authority(dir)?;
    let hosts: Vec<String> = hosts.iter().map(|host| bare(host)).collect();
    let mut params = CertificateParams::new(hosts).map_err(|error| Failure::Usage(format!("--host: {error}")))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // A node is server and client: it dials as well as it is dialled.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    last(&mut params, days)?;
    let key = KeyPair::generate().map_err(cannot)?;
    let certificate = params.signed_by(&key, &issuer).map_err(cannot)?;
    let files = TlsFiles {
        ca: dir.join(CA),
        certificate: dir.join(format!("{name}.pem")),
        key: dir.join(format!("{name}-key.pem")),
    };
    // A new certificate of a node takes the place of its old one: that is how it is renewed.
    write(&files.key, &key.serialize_pem(), 0o600)?;
    write(&files.certificate, &certificate.pem(), 0o644)?;
    Tls::read(files.clone()).map_err(|error| Failure::failed("what was made cannot be used", &error))?;
    Ok(files)
}

/// `[::1]` as people write it in addresses is `::1` in a certificate.
fn bare(host: &str) -> String {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inner.filter(|inner| inner.parse::<IpAddr>().is_ok()).unwrap_or(host).to_owned()
}

/// What is the same in every authority.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, AUTHORITY);
    // It signs nodes, and no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// The authority in `dir`: one that was made here, since what else its certificate says is not read.
fn read_authority(dir: &Path) -> Result<Issuer<'static, KeyPair>, Failure> {
    let (certificate, key) = (dir.join(CA), dir.join(CA_KEY));
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|error| {
            let hint = format!("{}; `pelton cert ca` makes an authority", path.display());
            Failure::failed(&hint, &error)
        })
    };
    let (pem, key_pem) = (read(&certificate)?, read(&key)?);
    let key_pair =
        KeyPair::from_pem(&key_pem).map_err(|error| Failure::Failed(format!("{}: {error}", key.display())))?;
    if !is_made_here(&pem, &key_pair) {
        return Err(Failure::Failed(format!(
            "{} is not the certificate that `pelton cert ca` made with {}",
            certificate.display(),
            key.display()
        )));
    }
    Ok(Issuer::new(authority(), key_pair))
}

/// Whether the certificate bears this key and the name that it must have.
fn is_made_here(pem: &str, key: &KeyPair) -> bool {
    let Some(der) = certificate_bytes(pem) else { return false };
    let holds = |part: &[u8]| der.windows(part.len()).any(|window| window == part);
    holds(key.der_bytes()) && holds(AUTHORITY.as_bytes())
}

/// The bytes of a PEM file with one certificate.
fn certificate_bytes(pem: &str) -> Option<Vec<u8>> {
    let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
    let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
    let body: String = body.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(body).ok()
}

/// Sets from when to when it lasts.
fn last(params: &mut CertificateParams, days: u32) -> Result<(), Failure> {
    let millis = i64::try_from(SystemClock.now().0).unwrap_or(i64::MAX);
    let today = Timestamp::from_millisecond(millis).map(|now| now.to_zoned(TimeZone::UTC).date());
    let apart = |days: i64| today.clone().and_then(|today| today.checked_add(Span::new().days(days)));
    let (begin, end) = (apart(-SKEW_DAYS), apart(i64::from(days)));
    let too_far = |error| Failure::failed("the clock of this machine, or --days", &error);
    let (begin, end) = (begin.map_err(too_far)?, end.map_err(too_far)?);
    let day = |date: jiff::civil::Date| {
        let positive = |number: i8| u8::try_from(number).expect("months and days count from 1");
        date_time_ymd(date.year().into(), positive(date.month()), positive(date.day()))
    };
    (params.not_before, params.not_after) = (day(begin), day(end));
    Ok(())
}

fn cannot(error: rcgen::Error) -> Failure {
    Failure::Failed(format!("the certificate could not be made: {error}"))
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    put(fs::OpenOptions::new().write(true).create_new(true).mode(mode), path, text)
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    put(fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode), path, text)
}

fn put(options: &fs::OpenOptions, path: &Path, text: &str) -> Result<(), Failure> {
    let done: io::Result<()> = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    done.map_err(|error| Failure::failed(&path.display().to_string(), &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn authority_in(dir: &Path) {
        make_authority(dir, CA_DAYS).unwrap();
    }

    fn hosts(hosts: &[&str]) -> Vec<String> {
        hosts.iter().map(|host| (*host).to_owned()).collect()
    }

    /// What is made is what a node reads, and only its owner can read the keys.
    #[test]
    fn an_authority_makes_certificates_that_nodes_can_use() {
        let dir = tempfile::tempdir().unwrap();
        authority_in(dir.path());
        let files = make_node(dir.path(), "a", &hosts(&["a.example.com", "10.0.0.1", "[::1]"]), NODE_DAYS).unwrap();
        Tls::read(files.clone()).unwrap();
        for secret in [&files.key, &dir.path().join(CA_KEY)] {
            let mode = fs::metadata(secret).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", secret.display());
        }
        let again = fs::read(&files.certificate).unwrap();
        make_node(dir.path(), "a", &hosts(&["a.example.com"]), 1).unwrap();
        assert_ne!(fs::read(&files.certificate).unwrap(), again, "a certificate is renewed in its place");
    }

    #[test]
    fn what_would_make_unusable_certificates_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let here = hosts(&["127.0.0.1"]);
        let error = make_node(dir.path(), "a", &here, 1).unwrap_err().to_string();
        assert!(error.contains("pelton cert ca"), "{error}");
        authority_in(dir.path());
        let ca = fs::read(dir.path().join(CA)).unwrap();
        assert!(make_authority(dir.path(), 1).is_err(), "an authority is never written over");
        assert_eq!(fs::read(dir.path().join(CA)).unwrap(), ca);
        assert!(make_node(dir.path(), "../a", &here, 1).is_err());
        assert!(make_node(dir.path(), "a", &hosts(&["größe"]), 1).is_err());
        let other = tempfile::tempdir().unwrap();
        authority_in(other.path());
        fs::copy(other.path().join(CA), dir.path().join(CA)).unwrap();
        let error = make_node(dir.path(), "a", &here, 1).unwrap_err().to_string();
        assert!(error.contains("is not the certificate"), "{error}");
    }
}
