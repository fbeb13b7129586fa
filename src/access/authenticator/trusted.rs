//! What vouches for callers at this moment.

use std::sync::Arc;
use std::time::Duration;

use pelton_access::account::AccountKey;
use pelton_access::{Identity, subject};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use crate::http::Peer;

/// The authority of the registry as it is in use, and whom else certificates are taken from.
pub struct Trusted {
    /// Which authority: the uid of the Secret that it is.
    pub uid: Option<String>,
    /// What signs tokens.
    pub key: Arc<AccountKey>,
    /// What finds out whether a certificate counts.
    pub verifier: Arc<dyn ClientCertVerifier>,
    /// Another one each time.
    pub generation: u64,
}

impl Trusted {
    /// Who somebody is by his certificate, which must count at this time, in seconds since 1970: a connection lasts longer
    /// than it may. `Err` says why it does not.
    pub fn identity(&self, peer: &Peer, now: u64) -> Result<Identity, String> {
        peer.check(self.generation, now, |certificates| self.check(certificates, now))?;
        let own = peer.certificates.first().and_then(|own| webpki::EndEntityCert::try_from(own).ok());
        let identity = own.and_then(|own| subject::identity(own.subject()));
        identity.ok_or_else(|| "the certificate names nobody".to_owned())
    }

    fn check(&self, certificates: &[CertificateDer<'static>], now: u64) -> Result<(), String> {
        let (own, above) = certificates.split_first().ok_or("no certificate was shown")?;
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now));
        match self.verifier.verify_client_cert(own, above, now) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("the certificate does not count: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    use rcgen::{KeyUsagePurpose, PKCS_ED25519, date_time_ymd};

    use super::*;
    use crate::access::tls;

    /// The first second of 2030, and that of 2031.
    const BEGIN: u64 = 1_893_456_000;
    const END: u64 = 1_924_992_000;

    struct Authority(CertificateParams, KeyPair);

    impl Authority {
        fn new(name: &str) -> Self {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            params.distinguished_name.push(DnType::CommonName, name);
            Self(params, KeyPair::generate().unwrap())
        }

        fn trusted(&self, generation: u64) -> Trusted {
            let own = self.0.self_signed(&self.1).unwrap().der().clone();
            let key = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_der();
            let key = Arc::new(AccountKey::from_pkcs8(&key).unwrap());
            Trusted { uid: None, key, verifier: tls::verifier(&[own]).unwrap(), generation }
        }

        /// Somebody with a certificate for the year 2030, or with one of an authority in between.
        fn peer(&self, has_more: bool) -> Peer {
            let mut chain = Vec::new();
            let between = Self::new("one in between");
            let signer = if has_more { &between } else { self };
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, "grace");
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            (params.not_before, params.not_after) = (date_time_ymd(2030, 1, 1), date_time_ymd(2031, 1, 1));
            let issuer = Issuer::from_params(&signer.0, &signer.1);
            chain.push(params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone());
            if has_more {
                let issuer = Issuer::from_params(&self.0, &self.1);
                chain.push(between.0.signed_by(&between.1, &issuer).unwrap().der().clone());
            }
            Peer::new("127.0.0.1:1".parse().unwrap(), &chain)
        }
    }

    #[test]
    fn a_connection_is_somebodys_as_long_as_its_certificate_counts() {
        let authority = Authority::new("an authority");
        let (trusted, again, other) =
            (authority.trusted(1), authority.trusted(2), Authority::new("an authority").trusted(3));
        for has_more in [false, true] {
            let peer = authority.peer(has_more);
            for (by, now, want) in [
                (&trusted, BEGIN - 1, false),
                (&trusted, BEGIN, true),
                (&trusted, END - 1, true),
                (&trusted, END - 1, true),
                // As when the files were read again.
                (&again, END - 1, true),
                (&other, END - 1, false),
                (&again, END - 1, true),
                (&again, END + 1, false),
            ] {
                let identity = by.identity(&peer, now);
                assert_eq!(identity.is_ok(), want, "{} {now}: {identity:?}", by.generation);
                assert!(identity.is_err() || identity.is_ok_and(|identity| identity.user == "grace"));
            }
        }
    }

    #[test]
    fn a_certificate_is_checked_once_in_a_second() {
        let peer = Authority::new("an authority").peer(false);
        let mut times = 0;
        for (generation, second) in [(1, 7), (1, 7), (1, 8), (2, 8), (2, 8), (1, 8)] {
            let checked: Result<(), ()> = peer.check(generation, second, |_| {
                times += 1;
                Ok(())
            });
            checked.unwrap();
        }
        assert_eq!(times, 4);
        // What was refused is looked at again.
        assert_eq!(peer.check(3, 9, |_| Err(1)), Err(1));
        assert_eq!(peer.check(3, 9, |_| Err(2)), Err(2));
    }
}
