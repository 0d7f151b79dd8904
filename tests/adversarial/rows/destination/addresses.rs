//! D5: names and addresses that lead inside.

use std::net::IpAddr;

use harness::provider::Identity;

use super::certificates::impostors;
use crate::row::{EVERY, ONCE, PROXY, Row};
use crate::scenario::Scenario;
use crate::stage::Stage;
use crate::wire::Request;
use crate::world::{HOSTILE, ip};

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            "D5.private",
            "names of private, shared, link-local and loopback addresses: 503",
            EVERY,
            private,
        ),
        Row::new("D5.ipv6", "names of IPv6 loopback, local, NAT64 and 6to4 addresses: 503", EVERY, ipv6),
        Row::new("D5.mapped", "names of IPv4-mapped IPv6 addresses: 503", EVERY, mapped),
        Row::new(
            "D5.mixed",
            "a private address beside a public one: only the public one is used",
            EVERY,
            mixed,
        ),
        Row::new(
            "D5.cleartext",
            "a private address by name, as literal and as localhost, in the clear: 503",
            ONCE,
            clear,
        ),
        Row::new("D5.tunnel", "tunnels to private addresses, by name and as literal: closed", PROXY, tunnel)
            .under(Scenario::default().others_pass()),
        Row::new(
            "D5.credentialed",
            "a host with a credential leads to a private address: 503",
            EVERY,
            credentialed,
        )
        .under(impostors()),
        Row::new(
            "D5.rebinding",
            "a name leads inside at its second resolution: nothing arrives there",
            ONCE,
            rebinding,
        )
        .under(Scenario::default().own("rebinding"))
        .slow(),
        Row::new(
            "D5.control",
            "with the guard off by allowedPrivateNetworks the same address answers",
            EVERY,
            control,
        )
        .under(Scenario::default().line(r#"allowedPrivateNetworks: ["10.0.0.0/24", "fd00::/64"]"#))
        .only_keyward("uses a setting of Keyward's"),
    ]
}

/// Asks for a name that leads to these addresses; nothing may arrive at the listener of any.
async fn check(stage: &Stage, addresses: &[&str], told: impl Fn(IpAddr) -> IpAddr) {
    for (number, address) in addresses.iter().enumerate() {
        let address: IpAddr = address.parse().expect("an address");
        let name = format!("inside-{number}-{}.example", addresses.len());
        let site = stage.world.site(address, &[&name], Identity::Valid).await;
        stage.world.zone.set(&name, &[told(address)]);
        let reply = stage.send(&stage.agent_for(&name), &Request::messages().authority(&name)).await;
        assert_eq!(site.accepted(), 0, "{address} was dialled");
        stage.refused(&reply, 503, "upstream_refused");
        stage.nothing_upstream().await;
    }
}

async fn private(stage: Stage) {
    let addresses = [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.254",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "127.0.0.1",
        "127.8.8.8",
        "198.18.0.1",
        "192.0.2.1",
    ];
    check(&stage, &addresses, |address| address).await;
}

async fn ipv6(stage: Stage) {
    check(&stage, &["::1", "fd00::1", "fc00::1", "64:ff9b::a00:1", "2002:a00:1::1"], |address| address).await;
}

/// The listener is at the IPv4 address, which is where such a connection ends up.
async fn mapped(stage: Stage) {
    let map = |address| match address {
        IpAddr::V4(v4) => IpAddr::V6(v4.to_ipv6_mapped()),
        IpAddr::V6(_) => address,
    };
    check(&stage, &["10.0.0.1", "127.0.0.1", "169.254.169.254"], map).await;
}

async fn mixed(stage: Stage) {
    let (inside, outside) = ("10.0.0.1".parse().expect("an address"), ip(71));
    let trap = stage.world.site(inside, &["mixed.example"], Identity::Valid).await;
    let site = stage.world.site(outside, &["mixed.example"], Identity::Valid).await;
    stage.world.zone.set("mixed.example", &[inside, outside]);
    for _ in 0..4 {
        let request = Request::messages().authority("mixed.example");
        let reply = stage.send(&stage.agent_for("mixed.example"), &request).await;
        assert_eq!(reply.status(), 200, "{reply:?}");
    }
    assert_eq!((trap.accepted(), site.take_requests().len()), (0, 4));
}

async fn clear(stage: Stage) {
    stage.world.zone.set("inside-clear.example", &["10.0.0.1".parse().expect("an address")]);
    let _there = stage.world.site("10.0.0.1".parse().expect("an address"), &[HOSTILE], Identity::Valid).await;
    for host in [
        "inside-clear.example",
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "0x7f000001",
        "2130706433",
        "127.1",
        "0177.0.0.1",
    ] {
        let request = format!("GET http://{host}/latest/meta-data HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let reply = stage.ask_proxy(request.as_bytes()).await;
        assert!(reply.is_refusal(), "{host}: {reply:?}");
        stage.refused_with_any(&reply, &[400, 403, 503]);
        stage.nothing_upstream().await;
    }
}

async fn tunnel(stage: Stage) {
    let inside: IpAddr = "10.0.0.1".parse().expect("an address");
    let trap = stage.world.site(inside, &["inside-tunnel.example"], Identity::Valid).await;
    stage.world.zone.set("inside-tunnel.example", &[inside]);
    for target in ["inside-tunnel.example:443", "10.0.0.1:443", "[::ffff:10.0.0.1]:443"] {
        let agent = stage.agent_with(target, Some("inside-tunnel.example"));
        let reply = stage.send(&agent, &Request::messages().authority("inside-tunnel.example")).await;
        assert!(reply.is_refusal(), "{target}: {reply:?}");
        assert_eq!(trap.accepted(), 0, "{target}: the listener inside was reached");
        stage.nothing_upstream().await;
    }
}

async fn credentialed(stage: Stage) {
    let (inside, name): (IpAddr, _) = ("10.0.0.1".parse().expect("an address"), "inside.example");
    let trap = stage.world.site(inside, &[name], Identity::Valid).await;
    stage.world.zone.set(name, &[inside]);
    let reply = stage.send(&stage.agent_for(name), &Request::messages().authority(name)).await;
    assert_eq!(trap.accepted(), 0, "the listener inside was reached");
    stage.refused(&reply, 503, "upstream_refused");
    stage.nothing_upstream().await;
}

/// The name is asked for again some seconds later; by then it leads inside.
async fn rebinding(stage: Stage) {
    let (inside, name) = ("10.0.0.1".parse().expect("an address"), "rebinding.example");
    let trap = stage.world.site(inside, &[name], Identity::Valid).await;
    let site = stage.world.site(ip(72), &[name], Identity::Valid).await;
    stage.world.zone.set_in_turn(name, &[&[ip(72)], &[inside]]);
    let request = Request::messages().authority(name);
    assert_eq!(
        stage.send(&stage.agent_for(name), &request).await.status(),
        200,
        "the first resolution is good"
    );
    assert_eq!(site.take_requests().len(), 1);
    // Whoever pools connections must make new ones.
    drop(site);
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while stage.world.zone.asked(name) < 2 {
        assert!(tokio::time::Instant::now() < end, "the name was not resolved a second time");
        let reply = stage.send(&stage.agent_for(name), &request).await;
        assert!(reply.is_refusal() || trap.accepted() == 0, "{reply:?}");
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    for _ in 0..3 {
        let reply = stage.send(&stage.agent_for(name), &request).await;
        stage.refused(&reply, 503, "upstream_refused");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(trap.accepted(), 0, "the listener inside was reached");
}

async fn control(stage: Stage) {
    for (address, name) in [("10.0.0.1", "open-4.example"), ("fd00::1", "open-6.example")] {
        let address: IpAddr = address.parse().expect("an address");
        let site = stage.world.site(address, &[name], Identity::Valid).await;
        stage.world.zone.set(name, &[address]);
        let reply = stage.send(&stage.agent_for(name), &Request::messages().authority(name)).await;
        assert_eq!((reply.status(), site.take_requests().len()), (200, 1), "{name}: {reply:?}");
    }
}
