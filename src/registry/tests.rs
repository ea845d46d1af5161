//! What may be registered, what wins, and what is kept.

use super::*;
use crate::fault::Fault;

const OLD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const NEW: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn descriptor(value: Value) -> Descriptor {
    let mut faults = Vec::new();
    Descriptor::from_json(&value, "", &mut faults).unwrap_or_else(|| panic!("{faults:?}"))
}

fn shop(cluster: &str) -> Descriptor {
    let mut value = json!({"name": "shop", "repository": "https://git.example/shop.git", "commit": OLD});
    if !cluster.is_empty() {
        value["cluster"] = cluster.into();
    }
    descriptor(value)
}

fn started(configured: &[Descriptor], rows: &[(String, Vec<u8>)]) -> Registry {
    let registry = Registry::new(configured);
    registry.restore(rows);
    registry
}

fn put(registry: &Registry, descriptor: Descriptor) -> (String, Vec<u8>) {
    let change = registry.put(descriptor).unwrap_or_else(|refused| panic!("{refused}"));
    let row = (change.key.clone(), change.row.clone().expect("a row"));
    registry.apply(change);
    row
}

fn deploy(registry: &Registry, commit: &str, now_ms: i64) -> (String, Vec<u8>) {
    let change = registry.deploy("shop", None, commit, now_ms).unwrap_or_else(|refused| panic!("{refused}"));
    let row = (change.key.clone(), change.row.clone().expect("a row"));
    registry.apply(change);
    row
}

#[test]
fn a_whole_descriptor_is_read_and_written_unchanged() {
    let whole = json!({
        "name": "shop", "cluster": "prod", "repository": "git@git.example:acme/shop.git", "commit": OLD,
        "description": "Sells.\nFor money.", "fix": "pr", "test": "make test", "channel": "#shop",
        "remedies": [{"name": "restart", "url": "https://ops.example/hooks/s3cret", "cures": ["stale pool"], "cooldown_seconds": 60, "per_day": 2}],
        "owners": ["@ada"], "revisions": {"shop:42": NEW},
    });
    let read = descriptor(whole.clone());
    assert_eq!(read.to_json(), whole);
    assert_eq!((read.fix, read.commit_of("42"), read.commit_of("41")), (descriptor::Fix::Pr, Some(NEW), None));
    let shown = read.shown().to_string();
    assert!(shown.contains("https://ops.example/…") && !shown.contains("s3cret"), "{shown}");
}

#[test]
fn every_fault_is_told_with_its_key() {
    let wrong = json!({
        "name": "", "repository": "ext::sh -c x", "commit": "HEAD", "fix": "prr", "test": "a\u{1b}[2J",
        "remedies": [{"name": "a", "url": "http://ops.example/s3cret"}, {"url": 1, "per_day": 0}, 7],
        "owners": [""], "revisions": {"42": "-x"}, "repositry": 1,
    });
    let mut faults: Vec<Fault> = Vec::new();
    assert!(Descriptor::from_json(&wrong, "service[0]", &mut faults).is_none());
    let keys: Vec<&str> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "service[0].repositry",
            "service[0].name",
            "service[0].repository",
            "service[0].commit",
            "service[0].fix",
            "service[0].test",
            "service[0].remedies[0].url",
            "service[0].remedies[1].name",
            "service[0].remedies[1].url",
            "service[0].remedies[1].per_day",
            "service[0].remedies[2]",
            "service[0].owners[0]",
            "service[0].revisions.42",
        ]
    );
    let told: String = faults.iter().map(ToString::to_string).collect();
    assert!(
        !told.contains("s3cret") && told.contains("did you mean repository?") && told.contains("it names a program"),
        "{told}"
    );
    let mut faults = Vec::new();
    let with_password = json!({"name": "a", "repository": "https://me:s3cret@git.example/x"});
    assert!(Descriptor::from_json(&with_password, "", &mut faults).is_none());
    assert!(!faults[0].to_string().contains("s3cret"), "{faults:?}");
}

#[test]
fn what_is_set_over_the_api_is_there_again_and_the_configuration_wins() {
    let registry = Registry::default();
    put(&registry, shop(""));
    let row = deploy(&registry, NEW, 7);
    let again = started(&[], std::slice::from_ref(&row));
    let entry = again.get("shop", None).unwrap_or_else(|refused| panic!("{refused}"));
    assert_eq!((entry.is_configured, entry.deploys), (false, vec![Deploy { commit: NEW.into(), at_ms: 7 }]));
    let configured = started(&[shop("")], &[row]);
    assert!(configured.get("shop", None).is_ok_and(|entry| entry.is_configured));
    assert_eq!(configured.put(shop("")).err(), Some(Refused::Configured));
    assert_eq!(configured.delete("shop", None).err(), Some(Refused::Configured));
    assert_eq!(configured.delete("other", None).err(), Some(Refused::Unknown));
}

#[test]
fn deploys_of_a_configured_service_are_kept_until_its_configured_commit_changes() {
    let registry = Registry::new(&[shop("")]);
    for n in 0..20 {
        deploy(&registry, if n % 2 == 0 { OLD } else { NEW }, n);
    }
    let row = deploy(&registry, NEW, 99);
    let deploys = |registry: &Registry| registry.get("shop", None).map(|entry| entry.deploys).unwrap_or_default();
    assert_eq!(deploys(&registry).iter().map(|d| d.at_ms).collect::<Vec<_>>(), (10..20).collect::<Vec<_>>());
    assert_eq!(deploys(&started(&[shop("")], std::slice::from_ref(&row))).len(), 10);
    let moved = Descriptor { commit: Some(NEW.into()), ..shop("") };
    assert_eq!(deploys(&started(&[moved], &[row])).len(), 0);
}

#[test]
fn one_of_its_cluster_comes_before_one_of_any() {
    let registry = Registry::default();
    put(&registry, shop(""));
    put(&registry, shop("prod"));
    let cluster = |wanted: &str| {
        let entry = registry.find(|name| name == "shop", |cluster| cluster == wanted);
        entry.map(|entry| entry.descriptor.cluster)
    };
    assert_eq!((cluster("prod"), cluster("dev")), (Some(Some("prod".into())), Some(None)));
    assert!(registry.find(|name| name == "cart", |_| true).is_none());
    assert_eq!(registry.get("shop", None).err(), Some(Refused::Several));
    assert!(registry.get("shop", Some("prod")).is_ok() && registry.get("shop", Some("")).is_ok());
}

#[test]
fn there_is_a_most() {
    let registry = Registry::default();
    for n in 0..SERVICES_MAX {
        put(&registry, descriptor(json!({"name": format!("s{n}")})));
    }
    assert_eq!(registry.put(shop("")).err(), Some(Refused::Full(SERVICES_MAX)));
    put(&registry, descriptor(json!({"name": "s1"})));
}
