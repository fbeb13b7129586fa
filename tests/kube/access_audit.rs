//! What is written down of changes.

use serde_json::Value;

use crate::guarded::{token, with_kubectl};
use crate::support::wait_for;

#[test]
fn changes_are_written_down_and_nothing_that_is_secret() {
    with_kubectl("audit log", |scene| {
        let robot = scene.ok("create token robot -n shop").trim().to_owned();
        scene.ok("create secret generic key -n shop --from-literal=password=very-hidden");
        scene.ok(&format!("get secret key -n shop --token={}", token("eve")));
        scene.ok("create cm settings -n shop --from-literal=a=b --dry-run=server");
        assert_eq!(scene.say(&format!("create cm settings -n shop --token={}", token("vera"))).code, 1);
        assert_eq!(scene.say("create cm settings -n shop --token=unheard-of").code, 1);
        scene.ok(&format!("create cm settings -n shop --token={robot}"));
        scene.ok("delete cm settings -n shop --dry-run=server");
        scene.ok("delete cm settings -n shop");
        scene.ok("auth can-i create brokers");
        let path = scene.folder().join("data").join("audit.log");
        let text = wait_for("the last change to be written down", || {
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
            if text.matches("\"delete\"").count() == 2 { Ok(text) } else { Err(text) }
        });
        let path = scene.folder().join("data").join("audit.log.refused");
        let refused = wait_for("the refusal to be written down", || {
            let text = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
            if text.ends_with('\n') { Ok(text) } else { Err(text) }
        });
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |line: &Value| {
            let at = |field: &str| line[field].as_str().unwrap_or("-").to_owned();
            let what = [at("user"), at("verb"), at("resource"), at("namespace"), at("name")].join(" ");
            format!("{what} {}{}", line["code"], if line["dryRun"] == true { " dry" } else { "" })
        };
        let brief: Vec<String> = lines.iter().map(of).collect();
        let refusals: Vec<String> =
            refused.lines().map(|line| of(&serde_json::from_str::<Value>(line).unwrap())).collect();
        assert_eq!(refusals, ["vera create configmaps shop - 403"]);
        assert_eq!(
            brief,
            [
                "pelton:admin create namespaces - shop 201",
                "pelton:admin create serviceaccounts shop robot 201",
                "pelton:admin create serviceaccounts shop deployer 201",
                "pelton:admin create serviceaccounts/token shop robot 201",
                "pelton:admin create secrets shop key 201",
                "pelton:admin create configmaps shop settings 201 dry",
                "system:serviceaccount:shop:robot create configmaps shop settings 201",
                "pelton:admin delete configmaps shop settings 200 dry",
                "pelton:admin delete configmaps shop settings 200",
            ]
        );
        for line in &lines {
            assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
            assert!(line["source"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
            assert_eq!(line["requestId"].as_str().unwrap().len(), 32, "{line}");
            assert!(!line["groups"].as_array().unwrap().is_empty(), "{line}");
        }
        assert_eq!(lines[4]["version"], "v1");
        let hidden = "dmVyeS1oaWRkZW4"; // very-hidden, base64
        for secret in ["very-hidden", hidden, robot.as_str(), "vera-token"] {
            assert!(!text.contains(secret) && !refused.contains(secret), "{secret} is written down");
        }
        // Nor is it shown where nobody asked for it.
        for line in ["get secrets -n shop", "get secrets -n shop -o wide", "describe secret key -n shop"] {
            let said = scene.ok(line);
            assert!(!said.contains("very-hidden") && !said.contains(hidden), "{line}: {said}");
        }
    });
}
