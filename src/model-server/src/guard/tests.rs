//! Tests of the guard: which addresses are refused, what opens them, and that a name is asked once.
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A guard whose resolver gives one answer after another.
fn guard(allowed: &str, answers: &[&[&str]]) -> (Guard, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let answers: VecDeque<Vec<IpAddr>> = answers
        .iter()
        .map(|answer| answer.iter().map(|address| address.parse().unwrap()).collect())
        .collect();
    let (answers, counter) = (Mutex::new(answers), Arc::clone(&asked));
    let lookup = move |_: &str| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(answers.lock().unwrap().pop_front().unwrap_or_default())
    };
    let allowed = Arc::new(allowed.parse().unwrap());
    (Guard { allowed, proxies: Arc::new([]), lookup: Arc::new(lookup) }, asked)
}

fn check(allowed: &str, address: &str) -> Result<(), Refused> {
    guard(allowed, &[]).0.check(&Url::parse(address).unwrap())
}

/// Spellings of hosts that are not public.
const HOSTS: &str = "
    169.254.169.254 168.63.129.16 100.100.100.200 192.0.0.192 [fd00:ec2::254] 127.0.0.1 127.1 2130706433
    0x7f000001 0177.0.0.1 0x7f.1 0 0.0.0.0 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1
    169.254.1.1 2852039166 0xa9fea9fe 0251.0376.0251.0376 [::1] [::] [::ffff:169.254.169.254]
    [::ffff:a9fe:a9fe] [::ffff:127.0.0.1] [::127.0.0.1] [64:ff9b::a9fe:a9fe] [64:ff9b::7f00:1]
    [64:ff9b:1::1] [2002:7f00:1::] [2002:a9fe:a9fe::1] [fe80::1] [fec0::1] [fc00::1] [fd12:3456::1]
    [ff02::1] [2001:0:1::1] [2001:db8::1] 224.0.0.1 255.255.255.255 240.0.0.1 198.18.0.1 192.0.2.1
    １６９.254.169.254 %31%36%39.254.169.254 localhost LOCALHOST. a.localhost kubernetes
    kubernetes.default.svc kubernetes.default.svc.cluster.local models.team.svc metadata.google.internal
    printer.local
";

#[test]
fn addresses_that_are_not_public_are_refused_in_every_spelling() {
    for host in HOSTS.split_whitespace() {
        let refused = check("", &format!("http://{host}/a.onnx")).unwrap_err();
        assert!(refused.0.contains("--allow-hosts"), "{host}: {refused}");
    }
}

#[test]
fn public_hosts_are_allowed() {
    for host in
        ["models.example.com", "1.1.1.1", "[2606:4700::1111]", "[64:ff9b::101:101]", "[2002:101:101::]"]
    {
        assert_eq!(check("", &format!("https://{host}/a")), Ok(()), "{host}");
    }
}

#[test]
fn other_schemes_are_refused() {
    for address in
        ["file:///etc/passwd", "ftp://host/a", "gopher://host:70/a", "data:text/plain,a", "ws://host/"]
    {
        assert!(check("", address).unwrap_err().0.contains("scheme"), "{address}");
    }
}

#[test]
fn list_opens_names_endings_addresses_and_ranges() {
    let list = "models.team.svc, *.blob.core.windows.net,10.1.0.0/16 [::1],192.168.0.7";
    for host in
        ["models.team.svc", "MODELS.team.svc.", "10.1.2.3", "[::1]", "192.168.0.7", "[::ffff:10.1.2.3]"]
    {
        assert_eq!(check(list, &format!("http://{host}/a")), Ok(()), "{host}");
    }
    for host in ["10.2.0.1", "192.168.0.8", "127.0.0.1", "169.254.169.254"] {
        assert!(check(list, &format!("http://{host}/a")).is_err(), "{host}");
    }
    for wrong in ["*", "a b/c", "http://host", "10.0.0.0/33", "*svc", "-.*", "a..b"] {
        assert!(wrong.parse::<AllowedHosts>().unwrap_err().contains("10.0.0.0/8"), "{wrong}");
    }
    assert_eq!("".parse::<AllowedHosts>().unwrap(), AllowedHosts::default());
}

#[test]
fn names_that_lead_to_other_places_are_refused() {
    for answer in ["10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fd00::1"] {
        let (guard, _) = guard("", &[&[answer]]);
        let refused = guard.addresses("models.example.com").unwrap_err().to_string();
        assert!(refused.contains("models.example.com leads to"), "{refused}");
    }
}

#[test]
fn one_forbidden_address_among_public_ones_refuses_the_name() {
    let (guard, _) = guard("", &[&["1.1.1.1", "10.0.0.1"]]);
    assert!(guard.addresses("models.example.com").is_err());
}

#[test]
fn name_on_the_list_may_be_private_but_never_metadata() {
    let (opened, _) =
        guard("models.example.com", &[&["10.0.0.1"], &["127.0.0.1"], &["169.254.169.254"], &["fe80::1"]]);
    assert!(opened.addresses("models.example.com").is_ok());
    assert!(opened.addresses("models.example.com").is_ok());
    assert!(opened.addresses("models.example.com").is_err());
    assert!(opened.addresses("models.example.com").is_err());
    let (explicit, _) = guard("169.254.169.254", &[&["169.254.169.254"]]);
    assert!(explicit.addresses("models.example.com").is_ok());
}

#[test]
fn search_domains_complete_only_names_on_the_list() {
    let names = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&names);
    let lookup = move |name: &str| {
        seen.lock().unwrap().push(name.to_owned());
        Ok(vec!["1.1.1.1".parse().unwrap()])
    };
    let allowed = Arc::new("models.team".parse().unwrap());
    let guard = Guard { allowed, proxies: Arc::new([]), lookup: Arc::new(lookup) };
    guard.addresses("kubernetes.default").unwrap();
    guard.addresses("models.team").unwrap();
    assert_eq!(*names.lock().unwrap(), ["kubernetes.default.", "models.team"]);
}

#[test]
fn proxy_of_the_environment_may_be_private_but_is_no_source() {
    let lookup = |_: &str| Ok(vec!["10.0.0.1".parse().unwrap()]);
    let proxies = Arc::new([proxy_host("http://me:secret@proxy.corp.example:3128").unwrap()]);
    let guard = Guard { allowed: Arc::default(), proxies, lookup: Arc::new(lookup) };
    assert!(guard.addresses("proxy.corp.example").is_ok());
    assert!(guard.check(&Url::parse("http://proxy.corp.example:3128/a").unwrap()).is_err());
    assert_eq!(proxy_host("proxy:3128").as_deref(), Some("proxy"));
}

/// The second answer of a name that changes its mind is never asked for: the connection goes where the first one led.
#[tokio::test]
async fn name_is_asked_once_and_the_connection_goes_to_what_was_judged() {
    let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sink = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let (guard, asked) = guard("127.0.0.2", &[&["127.0.0.2"], &["127.0.0.1"]]);
    let client = crate::fetch::http::client(&guard, None, true, true).unwrap();
    let url = format!("http://models.example.com:{port}/a.onnx");
    let request = tokio::spawn(async move { client.get(url).send().await });
    let (_, peer) = listener.accept().await.unwrap();
    assert!(peer.ip().is_loopback());
    request.abort();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let silent = tokio::time::timeout(std::time::Duration::from_millis(50), sink.accept()).await;
    assert!(silent.is_err());
}
