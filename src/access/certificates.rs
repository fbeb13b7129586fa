//! The certificates of the API: an authority for the cluster, and one for each node.

use std::net::IpAddr;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use pelton_env::UnixMillis;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// The authority's name. A certificate names its issuer, so it is the same wherever one is made.
const AUTHORITY: &str = "Pelton API authority";

/// How long the authority lasts: longer than most machines.
const AUTHORITY_DAYS: i64 = 3_650;

/// How long a node's certificate lasts, and after how many days it is made anew.
pub const NODE_DAYS: i64 = 90;

/// Clocks of machines differ by less than this.
const SKEW_DAYS: i64 = 1;

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The names or the key cannot be used.
    #[error("a certificate could not be made")]
    Make(#[from] rcgen::Error),
    /// The clock is too far off.
    #[error("the clock of this machine cannot be used")]
    Clock(#[from] jiff::Error),
}

/// A certificate with its key, both PEM.
pub struct Certified {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// A new authority.
pub fn make_authority(now: UnixMillis) -> Result<Certified, CertificateError> {
    let key = KeyPair::generate()?;
    let mut params = authority();
    last(&mut params, now, AUTHORITY_DAYS)?;
    let certificate = params.self_signed(&key)?;
    Ok(Certified { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// A certificate for a server of those names, signed by the authority that was made with `authority_key`.
pub fn make_server(authority_key: &KeyPair, names: &[String], now: UnixMillis) -> Result<Certified, CertificateError> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "pelton-api");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // A server and no client: nobody becomes a caller by it.
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    last(&mut params, now, NODE_DAYS)?;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, &Issuer::from_params(&authority(), authority_key))?;
    Ok(Certified { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// What is the same in every authority.
fn authority() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, AUTHORITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Sets from when to when it lasts.
fn last(params: &mut CertificateParams, now: UnixMillis, days: i64) -> Result<(), CertificateError> {
    let today = Timestamp::from_millisecond(i64::try_from(now.0).unwrap_or(i64::MAX))?.to_zoned(TimeZone::UTC).date();
    let (begin, end) = (today.checked_add(Span::new().days(-SKEW_DAYS))?, today.checked_add(Span::new().days(days))?);
    let day = |date: jiff::civil::Date| {
        let positive = |number: i8| u8::try_from(number).expect("months and days count from 1");
        date_time_ymd(date.year().into(), positive(date.month()), positive(date.day()))
    };
    (params.not_before, params.not_after) = (day(begin), day(end));
    Ok(())
}

/// What a server is called that listens at `address`: that address, the loopback ones where it has them, and what it was
/// told beside.
pub fn names(address: IpAddr, more: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    if address.is_unspecified() || address.is_loopback() {
        names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    }
    if !address.is_unspecified() {
        names.push(address.to_canonical().to_string());
    }
    names.extend(more);
    names.sort();
    names.dedup();
    names
}
