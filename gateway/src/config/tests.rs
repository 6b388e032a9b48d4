use std::collections::BTreeSet;

use endtoend_cluster::redis::RedisAt;

use super::keys::Values;
use super::*;

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Effective, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Effective::load(Some(file.path()), variables)
}

fn config(text: &str, variables: &[(&str, &str)]) -> Config {
    load(text, variables).unwrap().config
}

fn mistakes(text: &str, variables: &[(&str, &str)]) -> Vec<Mistake> {
    load(text, variables).unwrap_err().mistakes().to_vec()
}

/// The only mistake in the file: its line, and all that is said of it.
fn mistake(text: &str) -> (usize, String) {
    let mistakes = mistakes(text, &[]);
    let [mistake] = &mistakes[..] else { panic!("not one mistake: {mistakes:?}") };
    let Place::File { line, .. } = mistake.place else { panic!("not in the file: {mistake:?}") };
    (line, mistake.to_string())
}

#[test]
fn an_empty_file_gives_the_defaults_and_loopback() {
    let config = config("", &[]);
    assert_eq!(config, Config::default());
    assert!(matches!(config.gateway.listen, ListenOn::Address(address) if address.ip().is_loopback()));
}

#[test]
fn the_example_is_the_defaults() {
    assert_eq!(config(EXAMPLE, &[]), Config::default());
}

#[test]
fn the_example_has_every_key_and_explains_it() {
    let mut section = "";
    let mut before = "";
    let mut explained = BTreeSet::new();
    for line in EXAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((name, _)) = line.trim_start_matches("# ").split_once(" = ")
            && !name.contains(' ')
        {
            assert!(before.starts_with('#'), "{line} is not explained");
            explained.insert(Key { section: section.to_owned(), name: name.to_owned() });
        }
        before = line;
    }
    for (key, default) in Values::of(&Config::default()).iter() {
        assert!(explained.contains(key), "{key} is missing in deploy/node.example.toml; its default is {default}");
    }
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    let defaults = load(EXAMPLE, &[]).unwrap();
    for setting in defaults.settings() {
        let variable = setting.key.variable();
        let toml = toml::Value::try_from(&setting.value).unwrap().to_string();
        let set = load("", &[(&variable, &toml)]).unwrap();
        assert_eq!(set.config, Config::default());
        let origin = set.settings().into_iter().find(|other| other.key == setting.key).unwrap().origin;
        assert_eq!(origin, Origin::Variable(variable));
    }
}

#[test]
fn a_variable_overrides_the_file() {
    let variables = [
        ("ENDTOEND_GATEWAY__LISTEN", "127.0.0.1:9"),
        ("ENDTOEND_GATEWAY__NAMES", r#"["a.example", "b.example"]"#),
        ("ENDTOEND_STORAGE__DATA", "/var/lib/endtoend"),
        ("ENDTOEND_GATEWAY__CONNECTIONS_MAX", "7"),
        ("UNRELATED", "x"),
        ("ENDTOEND_HOME", "of the client"),
    ];
    let config = config("[gateway]\nlisten = \"127.0.0.1:8\"\n", &variables);
    assert_eq!(config.gateway.listen.to_string(), "127.0.0.1:9");
    assert_eq!(config.gateway.names, ["a.example", "b.example"]);
    assert_eq!(config.gateway.connections_max, 7);
    assert_eq!(config.storage.data, Path::new("/var/lib/endtoend"));
    // A text that TOML would take for a number is a text where one is wanted.
    assert_eq!(self::config("", &[("ENDTOEND_STORAGE__DATA", "8")]).storage.data, Path::new("8"));
}

#[test]
fn a_node_listens_on_an_address_or_on_what_it_is_given() {
    let listen = |text: &str| config(&format!("[gateway]\nlisten = {text:?}\n"), &[]).gateway.listen;
    assert_eq!(listen("systemd"), ListenOn::Systemd);
    assert_eq!(listen("[::]:8443"), ListenOn::Address("[::]:8443".parse().unwrap()));
    for text in ["system", "localhost:8443", "0.0.0.0", "8443", ""] {
        let (line, said) = mistake(&format!("[gateway]\nlisten = {text:?}\n"));
        assert!(line == 2 && said.contains("like \"0.0.0.0:8443\""), "{said}");
    }
}

#[test]
fn each_value_says_where_it_comes_from() {
    let effective =
        load("# first\n[gateway]\nlisten = \"127.0.0.1:8\"\n", &[("ENDTOEND_LOG__FILTER", "warn")]).unwrap();
    let origin =
        |key: &str| effective.settings().into_iter().find(|setting| setting.key.to_string() == key).unwrap().origin;
    assert!(matches!(origin("[gateway] listen"), Origin::File { line: 3, .. }));
    assert_eq!(origin("[log] filter"), Origin::Variable("ENDTOEND_LOG__FILTER".to_owned()));
    assert_eq!(origin("[storage] data"), Origin::Default);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_one_that_was_meant() {
    let (line, text) = mistake("[gateway]\n\nlissten = \"127.0.0.1:8\"\n");
    assert!(line == 3 && text.contains("`lissten`") && text.contains("did you mean `listen`?"), "{text}");
    let (line, text) = mistake("[gatewey]\nlisten = \"127.0.0.1:8\"\n");
    assert!(line == 1 && text.contains("did you mean [gateway]?"), "{text}");
    let (line, text) = mistake("[log]\nlisten = \"127.0.0.1:8\"\n");
    assert!(line == 2 && text.contains("did you mean `listen` in [cluster]?"), "{text}");
    let (line, text) = mistake("listen = \"127.0.0.1:8\"\n");
    assert!(line == 1 && text.contains("`listen` below [gateway]"), "{text}");
    let (_, text) = mistake("[gateway]\nzzzzzzzzzz = 1\n");
    assert!(
        text.contains("has the keys connections_max, drain_seconds, guests_max, listen, names, proxy_from"),
        "{text}"
    );
    let (_, text) = mistake("[zzzzzzzzzz]\na = 1\n");
    assert!(text.contains("there are [accounts], [admin], [blobs], [cluster], [gateway]"), "{text}");
}

#[test]
fn an_unknown_variable_is_refused_with_the_one_that_was_meant() {
    for (wrong, meant) in [
        ("ENDTOEND_GATEWAY__LISSTEN", "ENDTOEND_GATEWAY__LISTEN"),
        ("ENDTOEND_GATEWEY__LISTEN", "ENDTOEND_GATEWAY__LISTEN"),
        ("ENDTOEND_STORAGE__DATE", "ENDTOEND_STORAGE__DATA"),
    ] {
        let mistakes = mistakes("", &[(wrong, "x")]);
        assert_eq!(mistakes[0].place, Place::Variable(wrong.to_owned()));
        assert_eq!(mistakes[0].hint.as_deref(), Some(&*format!("did you mean {meant}?")));
    }
}

#[test]
fn every_mistake_is_told_at_once_in_the_order_of_the_lines() {
    let text = "[gateway]\nlisten = 8\nconnections_max = -1\nnamess = []\n\n[accounts]\nregistration = \"ajar\"\n";
    let mistakes = mistakes(text, &[("ENDTOEND_LOG__FILTERR", "x")]);
    let places: Vec<_> = mistakes
        .iter()
        .map(|mistake| match &mistake.place {
            Place::File { line, .. } => line.to_string(),
            Place::Variable(name) => name.clone(),
            Place::Whole => panic!("{mistake:?}"),
        })
        .collect();
    assert_eq!(places, ["2", "3", "4", "7", "ENDTOEND_LOG__FILTERR"]);
    assert!(mistakes.iter().all(|mistake| mistake.hint.is_some()), "{mistakes:?}");
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    let (line, text) = mistake("[gateway]\nlisten = \n");
    assert!(line == 2 && text.contains("not TOML"), "{text}");
}

#[test]
fn rules_are_checked_before_anything_starts() {
    for (line, text) in [
        (2, "[gateway]\nconnections_max = 0\n"),
        (2, "[gateway]\ndrain_seconds = 601\n"),
        (2, "[storage]\ndata = \"\"\n"),
        (3, "[gateway]\n\nnames = [\"a.example\", \"https://b.example:1/\"]\n"),
        (2, "[log]\nfilter = \"=,=\"\n"),
        (2, "[admin]\nlisten = \"localhost\"\n"),
        (3, "[admin]\nbeyond_loopback = false\nlisten = \"0.0.0.0:9464\"\n"),
        (2, "[limits]\nsend = { burst = 4294967295, every_ms = 18446744073709551 }\n"),
    ] {
        let (found, text) = mistake(text);
        assert_eq!(found, line, "{text}");
    }
    let broken = mistakes("", &[("ENDTOEND_GATEWAY__CONNECTIONS_MAX", "0")]);
    assert_eq!(broken[0].place, Place::Variable("ENDTOEND_GATEWAY__CONNECTIONS_MAX".to_owned()));
}

#[test]
fn a_password_is_not_repeated_in_what_is_said_of_a_mistake() {
    let text = "[gateway]\nlisten = \"postgres://user:hunter2@db\"\n";
    let mistakes = mistakes(text, &[("ENDTOEND_ACCOUNTS__REGISTRATION", "redis://:hunter2@cache")]);
    assert_eq!(mistakes.len(), 2);
    assert!(!format!("{mistakes:?}").contains("hunter2"), "{mistakes:?}");
}

#[test]
fn the_url_of_the_store_is_read_whole_and_shown_without_its_password() {
    let text = "[storage]\nurl = \"postgres://alice:hunter2@db.example:5433/e2e?sslmode=verify-full\"\n";
    let effective = load(text, &[]).unwrap();
    let url = effective.config.storage.url.get().unwrap();
    assert_eq!(url.to_string(), "postgres://alice@db.example:5433/e2e");
    let shown = format!("{effective:?} {:?}", effective.settings());
    assert!(shown.contains("alice") && !shown.contains("hunter2"), "{shown}");
    // A password is part of what was configured all the same.
    let other = config(&text.replace("hunter2", "hunter3"), &[]);
    assert_ne!(effective.config, other);

    let (line, text) = mistake("[storage]\nurl = \"mysql://alice:hunter2@db/e2e\"\n");
    assert!(line == 2 && text.contains("postgres://") && !text.contains("hunter2"), "{text}");
    let both = "[storage]\nurl = \"postgres://db/e2e\"\nurl_file = \"url\"\n";
    let (line, text) = mistake(both);
    assert!(line == 3 && text.contains("keep one of the two"), "{text}");
    let (_, text) = mistake("[storage]\nconnections_max = 0\n");
    assert!(text.contains("connections_max"), "{text}");
}

#[test]
fn the_password_of_redis_is_used_and_not_shown() {
    let set = load("[redis]\nurl = \"redis://node:hunter2@cache:6379/1\"\n", &[]).unwrap();
    let url = set.config.redis.url.clone().unwrap();
    assert_eq!(url.client().get_connection_info().redis_settings().password(), Some("hunter2"));
    let is_url = |setting: &Setting| setting.key.section == "redis" && setting.key.name == "url";
    let shown = set.settings().into_iter().find(is_url).unwrap();
    assert_eq!(shown.value, "redis://node:***@cache:6379/1");
    assert!(!format!("{set:?}{url:?}{}", set.config.redis.place()).contains("hunter2"));
    for off in ["", "[redis]\nurl = \"\"\n"] {
        assert!(!config(off, &[]).redis.is_set());
    }
    let (line, text) = mistake("[redis]\nurl = \"http://node:hunter2@cache\"\n");
    assert!(line == 2 && text.contains("redis://") && !text.contains("hunter2"), "{text}");
}

#[test]
fn redis_is_at_one_place_and_what_has_no_use_there_is_a_mistake() {
    for (line, text, said) in [
        (3, "url = \"redis://cache\"\nurl_file = \"x\"", "second place"),
        (3, "url = \"redis://cache\"\nsentinels = [\"s:1\"]\nprimary = \"p\"", "keep one of"),
        (2, "sentinels = [\"s:1\"]", "set `primary`"),
        (3, "url = \"redis://cache\"\nprimary = \"p\"", "something that sentinels know"),
        (2, "sentinels = [\"s:1\", \"t:1\", \"s:1\"]\nprimary = \"p\"", "names one twice"),
        (2, "sentinels = [\"s\"]\nprimary = \"p\"", "cache1.example.org:6379"),
        (3, "url = \"redis://cache\"\ntls = true", "rediss://"),
        (3, "url = \"redis://cache\"\nca_file = \"ca.pem\"", "without TLS"),
        (3, "cluster = [\"c:1\"]\ndatabase = 1", "one database"),
        (3, "cluster = [\"c:1\"]\nca_file = \"ca.pem\"", "`tls = true`"),
        (3, "cluster = [\"c:1\"]\nsentinel_user = \"u\"", "without sentinels"),
        (2, "password_file = \"p\"", "without a Redis"),
    ] {
        let (found, text) = mistake(&format!("[redis]\n{text}\n"));
        assert!(found == line && text.contains(said), "{line}: {found}: {text}");
    }
}

#[test]
fn the_files_of_redis_are_read_and_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (url, password) = (write("url", "redis://node@cache:6379/1\n"), write("password", "hunter2\n"));
    let config = RedisConfig { url_file: url, password_file: password.clone(), ..RedisConfig::default() };
    let Some(RedisAt::Server(client)) = config.open().unwrap() else { panic!("one server") };
    let info = client.get_connection_info();
    let login = info.redis_settings();
    assert_eq!((login.username(), login.password(), login.db()), (Some("node"), Some("hunter2"), 1));
    assert!(!format!("{:?}", config.open().unwrap()).contains("hunter2"));

    let sentinels = RedisConfig {
        sentinels: vec!["s:26379".parse().unwrap()],
        primary: "p".to_owned(),
        password_file: password.clone(),
        ..RedisConfig::default()
    };
    assert!(matches!(sentinels.open().unwrap(), Some(RedisAt::Sentinels(_))));
    assert!(!format!("{:?}", sentinels.open().unwrap()).contains("hunter2"));

    let empty = RedisConfig { password_file: write("empty", "\nhunter2\n"), ..sentinels.clone() };
    assert!(matches!(empty.open(), Err(RedisFileError::Password { key: "password_file", .. })));
    let missing = RedisConfig { password_file: dir.path().join("missing"), ..sentinels.clone() };
    assert!(matches!(missing.open(), Err(RedisFileError::Read { key: "password_file", .. })));
    let no_authority = RedisConfig { ca_file: password.clone(), tls: true, ..sentinels };
    assert!(matches!(no_authority.open(), Err(RedisFileError::Authority { .. })));
    let no_url = RedisConfig { url_file: password, ..RedisConfig::default() };
    let error = no_url.open().unwrap_err();
    assert!(matches!(error, RedisFileError::Url { .. }) && !format!("{error}{error:?}").contains("hunter2"));
}

#[test]
fn whoever_watches_is_on_this_machine_unless_an_operator_says_otherwise() {
    assert_eq!(config("[admin]\nlisten = \"\"\n", &[]).admin.listen, None);
    for listen in ["127.0.0.1:9464", "[::1]:0", "systemd"] {
        let admin = config(&format!("[admin]\nlisten = \"{listen}\"\n"), &[]).admin;
        assert_eq!(admin.listen, Some(listen.parse().unwrap()));
    }
    let text = "[admin]\nlisten = \"192.0.2.1:9464\"\n";
    let (line, said) = mistake(text);
    assert!(line == 2 && said.contains("without a login") && said.contains("beyond_loopback"), "{said}");
    let admin = config(&format!("{text}beyond_loopback = true\n"), &[]).admin;
    assert_eq!(admin.listen, Some("192.0.2.1:9464".parse().unwrap()));
}

#[test]
fn edges_are_networks() {
    let gateway = config("[gateway]\nproxy_from = [\"127.0.0.1\", \"10.0.0.0/8\", \"::1/128\"]\n", &[]).gateway;
    assert_eq!(gateway.proxy_from, ["127.0.0.1/32", "10.0.0.0/8", "::1"].map(|text| text.parse().unwrap()));
    let (line, text) = mistake("[gateway]\nproxy_from = [\"edge.example.org\"]\n");
    assert!(line == 2 && text.contains("192.0.2.0/24"), "{text}");
    let many = format!("[gateway]\nproxy_from = {:?}\n", ["::1"; 65]);
    assert!(mistake(&many).1.contains("at most 64"));
}

#[test]
fn a_node_of_several_says_where_it_is_reached_and_shares_its_store_and_its_redis() {
    let shared = "[storage]\nurl = \"postgres://db/e2e\"\n[redis]\nurl = \"redis://cache\"\n";
    let with = |cluster: &str| format!("{shared}[cluster]\n{cluster}\n");
    for (cluster, address) in [
        ("", None),
        ("listen = \"192.0.2.1:7443\"", Some("192.0.2.1:7443")),
        ("listen = \"0.0.0.0:7443\"\naddress = \"node1.example:7443\"", Some("node1.example:7443")),
        ("listen = \"[::]:7443\"\naddress = \"[2001:db8::1]:7443\"", Some("[2001:db8::1]:7443")),
    ] {
        let config = config(&with(cluster), &[]);
        assert_eq!(config.cluster.peer_address().as_deref(), address);
        assert_eq!(config.cluster.timings(), Ok(endtoend_cluster::link::LinkTimings::LAN));
    }
    for (line, cluster) in [
        (6, "listen = \"0.0.0.0:7443\""),
        (6, "listen = \"192.0.2.1:0\""),
        (7, "listen = \"192.0.2.1:7443\"\naddress = \"node1.example\""),
        (7, "listen = \"192.0.2.1:7443\"\naddress = \"2001:db8::1:7443\""),
        (6, "name = \"Node 1\""),
        (6, "ping_every_ms = 9"),
        (6, "pings_unanswered_max = 1"),
        (7, "ping_every_ms = 2000\nstall_seconds = 7"),
        (6, "handshake_seconds = 61"),
        (6, "redial_max_ms = 0"),
    ] {
        let (found, text) = mistake(&with(cluster));
        assert_eq!(found, line, "{text}");
    }
    let broken = mistakes("[cluster]\nlisten = \"192.0.2.1:7443\"\n", &[]);
    let said = format!("{broken:?}");
    assert!(broken.len() == 2 && said.contains("SQLite") && said.contains("[redis]"), "{said}");
}

#[test]
fn an_onion_service_has_a_port_a_way_and_keys_that_are_some() {
    let client = "descriptor:x25519:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let good = format!("[onion]\nenabled = true\ntarget = \"127.0.0.1:443\"\nclients = [\"{client}\"]\n");
    assert_eq!(config(&good, &[]).onion.client_keys().map(|keys| keys.len()), Ok(1));
    for (text, wrong) in [
        ("[onion]\nport = 0\n", "port: must be at least 1"),
        ("[onion]\ntarget = \"0.0.0.0:443\"\n", "target: must be one address"),
        ("[onion]\nclients = [\"descriptor:x25519:secret\"]\n", "number 1: not a key of an onion service's client"),
        ("[onion]\nhost = \"tor\"\narti = \"arti.toml\"\n", "arti: is for host = \"node\""),
        ("[gateway]\nproxy_from = [\"127.0.0.0/8\"]\n[onion]\nenabled = true\n", "needs a `target`"),
    ] {
        let (_, said) = mistake(text);
        assert!(said.contains(wrong) && !said.contains("secret\""), "{said}");
    }
    let many = format!("[onion]\nclients = {:?}\n", vec![client; 129]);
    assert!(mistake(&many).1.contains("at most 128 keys"));
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let missing = Effective::load(Some(Path::new("/nonexistent/endtoend.toml")), []);
    assert!(matches!(missing, Err(ConfigError::Read { .. })));
}

#[test]
fn the_unit_leaves_a_node_its_time_and_its_connections() {
    const UNIT: &str = include_str!("../../../deploy/systemd/endtoend.service");
    let number = |name: &str| -> u64 {
        let value = UNIT.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        value.parse().unwrap()
    };
    let GatewayConfig { drain_seconds, connections_max, .. } = Config::default().gateway;
    // What `docs/operating.md` promises: 11 s beside the drain.
    assert!(number("TimeoutStopSec=") > u64::from(drain_seconds) + 11);
    assert!(number("LimitNOFILE=") > 2 * u64::from(connections_max));
}
