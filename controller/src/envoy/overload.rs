//! Envoy refuses rather than dies: what it stops doing, and when, as its heap fills.
//!
//! In the order of their thresholds: give freed memory back, drop idle connections early and end the streams that hold
//! most, stop reusing connections, answer requests with 503 `overloaded`, close new connections.

use serde_json::{Value, json};

use super::bootstrap::{Capacity, typed};

const CONNECTIONS: &str = "envoy.resource_monitors.global_downstream_max_connections";
const HEAP: &str = "envoy.resource_monitors.fixed_heap";

/// Streams that hold less than this power of two of bytes are not ended for it: 256 KiB.
const COUNTED_STREAM: u32 = 18;

/// The part of the heap beyond which freed pages go back to the system: a sixteenth, 64 MiB by default.
const KEPT_PART: u64 = 16;
/// Freed bytes that may go back in a second.
const RELEASED: u64 = 4 << 20;

/// `envoy.config.bootstrap.v3.MemoryAllocatorManager`: what a flood made Envoy take, it gives back when it is over. By
/// itself the allocator keeps it for as long as the last peak is recent; the soft limit is what makes it let go.
pub(super) fn allocator(capacity: Capacity) -> Value {
    json!({
        "bytes_to_release": RELEASED.to_string(),
        "memory_release_interval": "1s",
        "soft_memory_limit_bytes": (heap_bytes(capacity) / KEPT_PART).to_string(),
    })
}

fn heap_bytes(capacity: Capacity) -> u64 {
    u64::from(capacity.heap_mib) << 20
}

/// `envoy.config.overload.v3.OverloadManager`.
pub(super) fn manager(capacity: Capacity) -> Value {
    let heap = heap_bytes(capacity);
    let idle_config = json!({"timer_scale_factors": [
        {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "2s"},
    ]});
    let mut idle = action("reduce_timeouts", &rising(0.80, 0.95));
    idle["typed_config"] = typed("envoy.config.overload.v3.ScaleTimersOverloadActionConfig", idle_config);
    json!({
        "refresh_interval": "0.25s",
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": COUNTED_STREAM},
        "resource_monitors": [
            {"name": CONNECTIONS, "typed_config": typed(
                "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                json!({"max_active_downstream_connections": capacity.connections.to_string()}),
            )},
            {"name": HEAP, "typed_config": typed(
                "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                json!({"max_heap_size_bytes": heap.to_string()}),
            )},
        ],
        "actions": [
            action("shrink_heap", &at(0.80)),
            idle,
            action("reset_high_memory_stream", &rising(0.85, 0.95)),
            action("disable_http_keepalive", &at(0.90)),
            action("stop_accepting_requests", &at(0.95)),
            action("reject_incoming_connections", &at(0.98)),
        ],
    })
}

fn action(name: &str, trigger: &Value) -> Value {
    json!({"name": format!("envoy.overload_actions.{name}"), "triggers": [trigger]})
}

/// Fires above this part of the heap.
fn at(part: f64) -> Value {
    json!({"name": HEAP, "threshold": {"value": part}})
}

/// Begins at one part of the heap and is complete at the other.
fn rising(from: f64, to: f64) -> Value {
    json!({"name": HEAP, "scaled": {"scaling_threshold": from, "saturation_threshold": to}})
}
