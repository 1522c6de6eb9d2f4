//! The parts of the cluster that decide what is ended and removed.
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use super::certificate::Authority;
use super::network::removal;
use super::process::{self, Lifetime};
use super::teardown::unescape;

#[test]
fn only_the_rules_of_the_cluster_are_removed() {
    let rules = "\
# Generated
*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
:KUBE-SERVICES - [3:180]
:KUBE-SVC-A - [0:0]
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A KUBE-SERVICES -d 10.233.0.1/32 -j KUBE-SVC-A
COMMIT
*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -s 10.232.0.0/16 -m comment --comment mlops-operator -j ACCEPT
-A FORWARD -s 172.17.0.0/16 -j ACCEPT
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
COMMIT
";
    assert_eq!(
        removal(rules),
        "\
*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
-D PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-X KUBE-SERVICES
-X KUBE-SVC-A
COMMIT
*filter
-D FORWARD -s 10.232.0.0/16 -m comment --comment mlops-operator -j ACCEPT
COMMIT
"
    );
}

#[test]
fn a_machine_without_rules_of_the_cluster_is_left_alone() {
    assert_eq!(removal("*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j ACCEPT\nCOMMIT\n"), "");
}

#[test]
fn a_mount_point_with_a_space_is_found() {
    assert_eq!(unescape("/a\\040b\\134c"), "/a b\\c");
}

/// A folder of this test alone, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("xtask-cluster-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path.canonicalize().unwrap())
    }

    fn sleep(&self, lifetime: Lifetime) -> Child {
        let child = process::spawn("sleep", &self.0, lifetime, Command::new("sleep").arg("600")).unwrap();
        // The kernel shows the environment of a process only some moments after its program has started.
        let pid = i32::try_from(child.id()).unwrap();
        process::wait_until("the mark of a process", Duration::from_secs(5), || {
            Ok(process::of(&self.0).iter().any(|process| process.pid == pid))
        })
        .unwrap();
        child
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        process::stop(&process::of(&self.0), Duration::ZERO).unwrap();
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn ended(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_some()
}

#[test]
fn a_process_is_found_by_its_mark_and_ended() {
    let (folder, other) = (Folder::new("mark"), Folder::new("other"));
    let (mut child, mut stranger) = (folder.sleep(Lifetime::Detached), other.sleep(Lifetime::Detached));
    let found = process::of(&folder.0);
    assert_eq!(
        found.iter().map(|process| process.pid).collect::<Vec<_>>(),
        [i32::try_from(child.id()).unwrap()]
    );
    assert_eq!(found[0].component, "sleep");
    process::stop(&found, Duration::from_secs(5)).unwrap();
    assert!(ended(&mut child) && !ended(&mut stranger));
    assert!(process::of(&folder.0).is_empty());
}

#[test]
fn a_process_that_took_over_a_number_is_not_ended() {
    let folder = Folder::new("number");
    let mut child = folder.sleep(Lifetime::Detached);
    let mut found = process::of(&folder.0);
    found[0].started -= 1;
    process::stop(&found, Duration::ZERO).unwrap();
    assert!(!ended(&mut child));
}

#[test]
fn only_the_processes_of_a_dead_owner_are_orphans() {
    let folder = Folder::new("orphan");
    let (mut detached, mut owned) = (folder.sleep(Lifetime::Detached), folder.sleep(Lifetime::Owned));
    let mut command = Command::new("sleep");
    // An owner that is no process: the number is above the kernel's limit.
    command.arg("600").env("MLOPS_CLUSTER_DIRECTORY", &folder.0).env("MLOPS_CLUSTER_OWNER", "5000000:1");
    let mut orphan = command.spawn().unwrap();
    process::wait_until("the start of three", Duration::from_secs(5), || {
        Ok(process::of(&folder.0).len() == 3)
    })
    .unwrap();
    process::stop_orphans().unwrap();
    assert!(ended(&mut orphan) && !ended(&mut owned) && !ended(&mut detached));
}

#[test]
fn an_authority_signs_after_it_was_opened_again_and_takes_two_groups() {
    let folder = Folder::new("authority");
    Authority::create(&folder.0).unwrap();
    let authority = Authority::open(&folder.0).unwrap();
    assert!(authority.client("alice", &["team-a", "team-b"]).unwrap().key.is_file());
    let error = authority.client("bob", &["a", "b", "c"]).unwrap_err();
    assert_eq!(error.to_string(), "failed to put bob into more than two groups");
}
