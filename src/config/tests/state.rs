//! Where the small state is kept, and with which keys.

use super::*;
use crate::state::Target;
use crate::state::bucket;
use crate::state::credentials::{Source, Token};

fn world(rest: &str) -> World {
    World::new().toml(&format!("[store]\nstate_url = \"s3://logs/ember/prod/\"\nstate_region = \"eu-west-1\"\n{rest}"))
}

fn target(world: &World) -> bucket::Target {
    match world.config().state.map(|state| state.target) {
        Some(Target::Bucket(target)) => target,
        _ => panic!("a bucket"),
    }
}

/// Where the keys come from, in a few words.
fn source(world: &World) -> String {
    match target(world).credentials {
        Source::Given(keys) => {
            let session = keys.session.map_or("-".to_owned(), |session| session.expose().to_owned());
            format!("{} {} {session}", keys.id.expose(), keys.secret.expose())
        }
        Source::Container { url, token } => match token {
            None => url,
            Some(Token::Text(token)) => format!("{url} {}", token.expose()),
            Some(Token::File(path)) => format!("{url} @{}", path.display()),
        },
    }
}

#[test]
fn the_small_state_is_kept_where_it_is_said_and_nowhere_by_default() {
    assert!(Config::default().state.is_none());
    assert!(World::new().toml("store.state_url = \"\"").config().state.is_none());
    let state = World::new().toml("[store]\nstate_url = \"/mnt/efs\"\nstate_seconds = 5").config().state;
    let state = state.expect("a folder");
    assert!(matches!(state.target, Target::Folder(path) if path.to_str() == Some("/mnt/efs")));
    assert_eq!(state.every.as_secs(), 5);
    let target = target(&world("access_key_id = \"AK\"\nsecret_access_key = \"SK\""));
    assert_eq!((target.to_string().as_str(), target.region.as_str()), ("s3://logs/ember/prod", "eu-west-1"));
    assert!(target.endpoint.is_none());
}

#[test]
fn configured_keys_come_before_those_of_the_environment_and_those_before_a_containers_role() {
    let role = |world: World| world.env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/x");
    let keys = |world: World| world.env("AWS_ACCESS_KEY_ID", "EK").env("AWS_SECRET_ACCESS_KEY", "ES");
    let mine = world("access_key_id = \"AK\"\nsecret_access_key_file = \"secret\"").file("secret", "SK\n");
    assert_eq!(source(&role(keys(mine))), "AK SK -");
    assert_eq!(source(&role(keys(world("")))), "EK ES -");
    assert_eq!(source(&keys(world("")).env("AWS_SESSION_TOKEN", "ET")), "EK ES ET");
    assert_eq!(source(&role(world(""))), "http://169.254.170.2/v2/credentials/x");
    let full = |url: &str| world("").env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    assert_eq!(
        source(&full("http://127.0.0.1:9/k").env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "T")),
        "http://127.0.0.1:9/k T"
    );
    let eks = full("http://169.254.170.23/v1/credentials").env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/var/t");
    assert_eq!(source(&eks), "http://169.254.170.23/v1/credentials @/var/t");
    for far in ["http://example.com/", "http://169.254.169.254/", "http://u:p@127.0.0.1/", "ftp://127.0.0.1/", "x"] {
        assert!(full(far).faults().starts_with("AWS_CONTAINER_CREDENTIALS_FULL_URI: must be"), "{far}");
    }
    assert!(world("").faults().starts_with("store.access_key_id: is missing"));
}

#[test]
fn a_region_comes_from_the_task_and_is_asked_for_at_aws_only() {
    let with = |rest: &str| {
        let keys = "state_url = \"s3://logs\"\naccess_key_id = \"AK\"\nsecret_access_key = \"SK\"";
        World::new().toml(&format!("[store]\n{keys}\n{rest}"))
    };
    assert!(with("").faults().starts_with("store.state_region: is missing"));
    assert_eq!(target(&with("").env("AWS_REGION", "eu-north-1")).region, "eu-north-1");
    assert_eq!(target(&with("state_endpoint = \"http://127.0.0.1:9000/\"")).region, "us-east-1");
}
