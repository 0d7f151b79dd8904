//! What is passed on of the statistics of an Envoy, which has thousands: those by which an operator sees what agents and
//! providers get, and what it costs.
//!
//! Their names and labels are Envoy's own, so that what is known of them elsewhere holds. Two things differ: the reloads of
//! the filter are summed over its buckets, each of which is a family of its own for Envoy, and there is an upper bound.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How many series are passed on of one Envoy. Some 250 are usual, and their number does not grow with routes.
const SERIES: usize = 2_000;

/// What is asked for, by Envoy's own names: it need not print what is thrown away.
pub(super) const FILTER: &str = concat!(
    r"^(server\.(live|uptime|memory_allocated|memory_physical_size|envoy_bug_failures)",
    r"|server\.(main_thread|worker_\d+)\.watchdog_mega_miss",
    r"|control_plane\.connected_state",
    r"|overload\.envoy\.resource_monitors\..*\.pressure",
    r"|overload\.envoy\.overload_actions\.(stop_accepting_requests|reject_incoming_connections)\.active",
    r"|http\.(mitm|proxy)\.downstream_cx_(active|total|rx_bytes_total|tx_bytes_total|protocol_error)",
    r"|http\.(mitm|proxy)\.downstream_rq_(active|total|time|timeout|.xx)",
    r"|listener\..*\.(downstream_global_cx_overflow|no_filter_chain_match|ssl\.(handshake|connection_error))",
    r"|local_rate_limit\..*",
    r"|cluster\..*\.upstream_cx_(active|total|connect_fail|connect_timeout)",
    r"|cluster\..*\.upstream_rq_(active|total|timeout|pending_overflow|.xx)",
    r"|cluster\..*\.ssl\.fail_verify_(error|san)",
    r"|cluster\..*\.rbac\.denied",
    r"|dns\.cares\.(resolve_total|not_found|timeouts|get_addr_failure)",
    r"|tcp\..*\.downstream_cx_total",
    r"|wasm\..*\.vm_reload_(success|failure|backoff)",
    r"|wasmcustom\..*)$",
);

/// Envoy's families that are passed on, the most important ones first, and what they mean.
#[rustfmt::skip]
const FAMILIES: &[(&str, &str)] = &[
    ("envoy_server_live", "Whether Envoy takes connections"),
    ("envoy_server_uptime", "Seconds since Envoy was started"),
    ("envoy_control_plane_connected_state", "Whether Envoy is connected to the controller"),
    ("envoy_server_memory_allocated", "Bytes of Envoy's heap in use; the memory of the filter is not part of it"),
    ("envoy_server_memory_physical_size", "Bytes of Envoy's heap that are resident"),
    ("envoy_server_envoy_bug_failures", "Contradictions that Envoy found in itself"),
    ("envoy_server_main_thread_watchdog_mega_miss", "How often the main thread did not answer for a second"),
    ("envoy_server_worker_watchdog_mega_miss", "How often a worker did not answer for a second"),
    ("envoy_overload_envoy_resource_monitors_fixed_heap_pressure", "Percentage of --envoy-heap in use"),
    ("envoy_overload_envoy_resource_monitors_global_downstream_max_connections_pressure", "Percentage of --envoy-connections in use"),
    ("envoy_overload_envoy_overload_actions_stop_accepting_requests_active", "Whether requests are answered with 503 `overloaded`"),
    ("envoy_overload_envoy_overload_actions_reject_incoming_connections_active", "Whether new connections are closed for want of memory"),
    ("envoy_http_downstream_cx_active", "Connections of agents; `proxy`: to the proxy port, `mitm`: intercepted"),
    ("envoy_http_downstream_cx_total", "Connections of agents so far"),
    ("envoy_http_downstream_rq_active", "Requests under way"),
    ("envoy_http_downstream_rq_total", "Requests so far; those of `proxy` are CONNECT and cleartext"),
    ("envoy_http_downstream_rq_xx", "Answers by class of status, Keyward's own included"),
    ("envoy_http_downstream_rq_time", "Time of requests from first to last byte, in milliseconds"),
    ("envoy_http_downstream_rq_timeout", "Requests that took longer than four times requestTimeout"),
    ("envoy_http_downstream_cx_rx_bytes_total", "Bytes from agents"),
    ("envoy_http_downstream_cx_tx_bytes_total", "Bytes to agents"),
    ("envoy_http_downstream_cx_protocol_error", "Connections that were closed for what is not HTTP, or too much of it"),
    ("envoy_listener_downstream_global_cx_overflow", "Connections that were closed because there were too many"),
    ("envoy_listener_ssl_handshake", "TLS handshakes with agents"),
    ("envoy_listener_ssl_connection_error", "TLS handshakes with agents that failed: no certificate for the name, or one that the agent does not trust"),
    ("envoy_listener_no_filter_chain_match", "Connections to a name or address that nothing serves"),
    ("envoy_local_rate_limit_rate_limited", "Connections that were closed for too many new names"),
    ("envoy_cluster_upstream_cx_active", "Connections to upstreams; `credentialed`: hosts of routes, `open`: others, `alias`: hostAliases"),
    ("envoy_cluster_upstream_cx_total", "Connections to upstreams so far"),
    ("envoy_cluster_upstream_cx_connect_fail", "Connections to upstreams that failed"),
    ("envoy_cluster_upstream_cx_connect_timeout", "Connections to upstreams that took too long"),
    ("envoy_cluster_upstream_rq_active", "Requests that wait for an upstream's answer"),
    ("envoy_cluster_upstream_rq_total", "Requests to upstreams so far"),
    ("envoy_cluster_upstream_rq_xx", "Answers of upstreams by class of status"),
    ("envoy_cluster_upstream_rq_timeout", "Requests that an upstream did not answer in time"),
    ("envoy_cluster_upstream_rq_pending_overflow", "Requests that were refused because too many waited for a connection"),
    ("envoy_cluster_ssl_fail_verify_error", "Upstreams whose certificate is not trusted"),
    ("envoy_cluster_ssl_fail_verify_san", "Upstreams whose certificate is for another name"),
    ("envoy_cluster_rbac_denied", "Connections to private addresses that were refused when they were dialled"),
    ("envoy_dns_cares_resolve_total", "Names that were resolved"),
    ("envoy_dns_cares_not_found", "Names that there are not"),
    ("envoy_dns_cares_timeouts", "Names whose resolution took too long"),
    ("envoy_dns_cares_get_addr_failure", "Names whose resolution failed"),
    ("envoy_tcp_downstream_cx_total", "Tunnels that passed untouched"),
];

/// Families of the filter's own.
const OWN: &str = "keyward_";

/// What became of a filter that trapped.
const RELOADS: [&str; 3] = ["success", "failure", "backoff"];

/// Envoy's text, reduced to what is passed on.
pub(super) fn select(text: &str) -> String {
    let mut families: BTreeMap<Place, Family> = BTreeMap::new();
    let mut reloads = [0; RELOADS.len()];
    let mut current = None;
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            current = declared.split_once(' ').and_then(|(name, kind)| of(name, kind, &mut families));
        } else if let Some((name, value)) = sample(line) {
            match (&current, reload(name)) {
                (_, Some(result)) => reloads[result] += value.parse::<u64>().unwrap_or_default(),
                (Some(place), None) if is_ours(line) => {
                    families.entry(place.clone()).and_modify(|family| family.samples.push(line));
                }
                _ => {}
            }
        }
    }
    write(&families, reloads)
}

/// The filter's own families before Envoy's, and those in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Own(String),
    Envoy(usize),
}

struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    samples: Vec<&'a str>,
}

fn of<'a>(name: &'a str, kind: &'a str, families: &mut BTreeMap<Place, Family<'a>>) -> Option<Place> {
    let place = match FAMILIES.iter().position(|(known, _)| *known == name) {
        Some(position) => Place::Envoy(position),
        None if name.starts_with(OWN) => Place::Own(name.to_owned()),
        None => return None,
    };
    families.entry(place.clone()).or_insert(Family { name, kind, samples: Vec::new() });
    Some(place)
}

/// The name and value of `name{labels} value`. Label values of Envoy's hold no blank but in quotes.
fn sample(line: &str) -> Option<(&str, &str)> {
    let (series, value) = line.rsplit_once(' ')?;
    Some((series.split(['{', ' ']).next()?, value))
}

/// Which result of a reload this family counts.
fn reload(name: &str) -> Option<usize> {
    let (bucket, result) = name.rsplit_once("_vm_reload_")?;
    bucket.strip_prefix("envoy_wasm_")?;
    RELOADS.iter().position(|known| *known == result)
}

/// The admin interface counts itself among what it serves.
fn is_ours(line: &str) -> bool {
    !line.contains(r#"envoy_http_conn_manager_prefix="admin""#)
}

fn write(families: &BTreeMap<Place, Family>, reloads: [u64; RELOADS.len()]) -> String {
    let mut text = String::new();
    let (mut written, mut left_out) = (0, 0);
    for (place, Family { name, kind, samples }) in families {
        // A histogram is passed on whole or not at all.
        if written + samples.len() > SERIES {
            left_out += samples.len();
            continue;
        }
        written += samples.len();
        if let Place::Envoy(position) = place
            && let Some((_, help)) = FAMILIES.get(*position)
        {
            line(&mut text, format_args!("# HELP {name} {help}"));
        }
        line(&mut text, format_args!("# TYPE {name} {kind}"));
        samples.iter().for_each(|sample| line(&mut text, format_args!("{sample}")));
    }
    let name = "keyward_filter_vm_reloads_total";
    line(
        &mut text,
        format_args!("# HELP {name} Filters that were started anew after they trapped, by result"),
    );
    line(&mut text, format_args!("# TYPE {name} counter"));
    for (result, count) in RELOADS.into_iter().zip(reloads) {
        line(&mut text, format_args!("{name}{{result=\"{result}\"}} {count}"));
    }
    let name = "keyward_envoy_series_left_out";
    line(&mut text, format_args!("# HELP {name} Series of this Envoy above the {SERIES} that are passed on"));
    line(&mut text, format_args!("# TYPE {name} gauge"));
    line(&mut text, format_args!("{name} {left_out}"));
    text
}

fn line(text: &mut String, content: std::fmt::Arguments) {
    // Writing into memory does not fail.
    let _ = writeln!(text, "{content}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_is_left_out_and_reloads_are_summed() {
        let text = r#"# TYPE envoy_cluster_assignment_stale counter
envoy_cluster_assignment_stale{envoy_cluster_name="open"} 7

# TYPE envoy_http_downstream_rq_total counter
envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="admin"} 3
envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="mitm"} 4
# TYPE envoy_server_live gauge
envoy_server_live{} 1
# TYPE envoy_wasm_light_bucket_00_vm_reload_success counter
envoy_wasm_light_bucket_00_vm_reload_success{} 2
# TYPE envoy_wasm_full_bucket_01_vm_reload_success counter
envoy_wasm_full_bucket_01_vm_reload_success{} 3
# TYPE keyward_requests_total counter
keyward_requests_total{decision="injected"} 9
"#;
        let expected = r#"# TYPE keyward_requests_total counter
keyward_requests_total{decision="injected"} 9
# HELP envoy_server_live Whether Envoy takes connections
# TYPE envoy_server_live gauge
envoy_server_live{} 1
# HELP envoy_http_downstream_rq_total Requests so far; those of `proxy` are CONNECT and cleartext
# TYPE envoy_http_downstream_rq_total counter
envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="mitm"} 4
# HELP keyward_filter_vm_reloads_total Filters that were started anew after they trapped, by result
# TYPE keyward_filter_vm_reloads_total counter
keyward_filter_vm_reloads_total{result="success"} 5
keyward_filter_vm_reloads_total{result="failure"} 0
keyward_filter_vm_reloads_total{result="backoff"} 0
# HELP keyward_envoy_series_left_out Series of this Envoy above the 2000 that are passed on
# TYPE keyward_envoy_series_left_out gauge
keyward_envoy_series_left_out 0
"#;
        assert_eq!(select(text), expected);
    }

    #[test]
    fn a_family_that_does_not_fit_is_left_out_whole_and_counted_and_the_others_are_not() {
        let mut text = "# TYPE envoy_cluster_upstream_rq_total counter\n".to_owned();
        for n in 0..=SERIES {
            text += &format!("envoy_cluster_upstream_rq_total{{envoy_cluster_name=\"a{n}\"}} 1\n");
        }
        text += "# TYPE envoy_tcp_downstream_cx_total counter\nenvoy_tcp_downstream_cx_total{} 1\n";
        let selected = select(&text);
        assert!(!selected.contains("envoy_cluster_upstream_rq_total"), "{selected}");
        assert!(selected.contains("envoy_tcp_downstream_cx_total{} 1\n"), "{selected}");
        assert!(
            selected.ends_with(&format!("\nkeyward_envoy_series_left_out {}\n", SERIES + 1)),
            "{selected}"
        );
    }

    #[test]
    fn what_is_no_statistic_is_no_panic() {
        for text in
            ["", "\n", " ", "# TYPE", "# TYPE ", "# TYPE x", "{", "a{ 1", "_vm_reload_success 1", "é \u{0}"]
        {
            assert!(select(text).starts_with("# HELP keyward_filter_vm_reloads_total"), "{text:?}");
        }
    }
}
