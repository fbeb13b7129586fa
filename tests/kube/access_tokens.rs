//! Tokens of ServiceAccounts.

use crate::guarded::{token, with_kubectl};
use crate::support::wait_until;

#[test]
fn a_token_is_its_account_as_long_as_that_is_there() {
    with_kubectl("create token", |scene| {
        let robot = scene.ok("create token robot -n shop").trim().to_owned();
        let who = scene.ok(&format!("auth whoami --token={robot}"));
        for want in ["system:serviceaccount:shop:robot", "system:serviceaccounts:shop", "system:authenticated"] {
            assert!(who.contains(want), "{want} is not in {who}");
        }
        let can = |line: &str| scene.say(&format!("auth can-i {line} --token={robot}")).code == 0;
        assert!(can("create brokers -n shop") && !can("create brokers -n default"));
        scene.ok(&format!("create cm made-by-robot -n shop --token={robot}"));

        // Another one of the same name is another one.
        scene.ok("delete sa robot -n shop");
        let is_nobody = || scene.say(&format!("auth whoami --token={robot}")).stderr.contains("must be logged in");
        wait_until("the token to count no more", is_nobody);
        scene.ok("create sa robot -n shop");
        assert!(is_nobody());
    });
}

#[test]
fn a_token_is_what_it_is_asked_to_be() {
    with_kubectl("create token, options", |scene| {
        scene.rows(&[
            ("create token nobody -n shop", 1, &[], &["serviceaccounts \"nobody\" not found"]),
            ("create token robot -n shop --duration=1m", 1, &[], &["less than 10 minutes"]),
            ("create token robot -n shop --duration=24h -o jsonpath={.spec.expirationSeconds}", 0, &["86400"], &[]),
            (
                "create token robot -n shop --bound-object-kind=Secret --bound-object-name=key",
                1,
                &[],
                &["spec.boundObjectRef: Forbidden"],
            ),
        ]);
        // One that is for somebody else does not count here.
        let other = scene.ok("create token robot -n shop --audience=https://other.example").trim().to_owned();
        let said = scene.say(&format!("auth whoami --token={other}"));
        assert!(said.stderr.contains("must be logged in"), "{said:?}");
        // Nor does one that was changed: the first letter of its signature.
        let good = scene.ok("create token robot -n shop").trim().to_owned();
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let first = if signature.starts_with('A') { 'B' } else { 'A' };
        let said = scene.say(&format!("auth whoami --token={signed}.{first}{}", &signature[1..]));
        assert!(said.stderr.contains("must be logged in"), "{said:?}");
        let said = scene.say(&format!("auth whoami --token={signed}."));
        assert!(said.stderr.contains("must be logged in"), "{said:?}");
        let said = scene.say(&format!("create token robot -n default --token={}", token("eve")));
        assert!(said.stderr.contains("is forbidden"), "{said:?}");
    });
}
