//! The parts of the cluster that decide what is ended and removed.
use super::network::removal;
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
