//! A compiled result as readable JSON: plans (empty buckets left out) and conditions.

use controller::compile::Compiled;
use controller::conditions::Conditions;
use controller::destination::Destination;
use controller::plan::{Alias, DenyResponse, Egress, GatewayPlan, HostPlan, PortSet, UpstreamProxy};
use serde_json::{Map, Value, json};

pub(crate) fn render(compiled: &Compiled, problems: &[String]) -> String {
    let gateways = compiled.gateways.iter().map(|(key, plan)| (key.to_string(), gateway(plan)));
    let statuses = compiled.statuses.0.iter().map(|(object, status)| {
        let parts = status.parts().into_iter().map(|(part, conditions)| (part, said(conditions)));
        (object.to_string(), Value::Object(parts.collect()))
    });
    let output = json!({
        "problems": problems,
        "conditions": statuses.collect::<Map<_, _>>(),
        "gateways": gateways.collect::<Map<_, _>>(),
    });
    serde_json::to_string_pretty(&output).unwrap() + "\n"
}

fn said(conditions: &Conditions) -> Value {
    let lines = conditions.iter().map(|(kind, condition)| {
        let line = format!("{} {}: {}", condition.status.as_str(), condition.reason, condition.message);
        (kind.to_owned(), Value::String(line))
    });
    Value::Object(lines.collect())
}

fn gateway(plan: &GatewayPlan) -> Value {
    let used = plan.buckets.iter().enumerate().filter(|(_, config)| !config.rules.is_empty());
    let networks =
        plan.allowed_private_networks.iter().map(|(address, length)| format!("{address}/{length}"));
    let mut rendered = json!({
        "defaultPolicy": format!("{:?}", plan.default_policy),
        "interception": format!("{:?}", plan.interception),
        "ports": {
            "terminate": ports(&plan.ports.terminate),
            "passthrough": ports(&plan.ports.passthrough),
            "cleartext": ports(&plan.ports.cleartext),
        },
        "hosts": plan.hosts.iter().map(|(name, plan)| (name.to_string(), host(plan))).collect::<Map<_, _>>(),
        "openAliases": plan.open_aliases.iter().map(|(name, it)| (name.clone(), alias(it))).collect::<Map<_, _>>(),
        "buckets": used
            .map(|(index, config)| (index.to_string(), serde_json::to_value(config).unwrap()))
            .collect::<Map<_, _>>(),
        "guard": plan.guard,
        "trustedCertificates": plan.trust_bundle.matches("BEGIN CERTIFICATE").count(),
        "dns": format!("{:?} {:?}", plan.dns.family, plan.dns.resolvers),
        "requestTimeout": format!("{:?}", plan.request_timeout),
        "allowedPrivateNetworks": networks.collect::<Vec<_>>(),
    });
    if let Some(UpstreamProxy { host, port }) = &plan.upstream_proxy {
        rendered["upstreamProxy"] = json!(format!("{host:?} {port}"));
    }
    if plan.egress != Egress::default() {
        rendered["egress"] = egress(plan);
    }
    rendered
}

fn egress(plan: &GatewayPlan) -> Value {
    let place = |it: &Destination| format!("{} {} {:?}", it.host, it.ports, it.traffic);
    let denied = plan.egress.denied.iter().map(|it| {
        let DenyResponse { status, message } = &it.response;
        format!("{} -> {status} {}", place(&it.destination), message.as_deref().unwrap_or("-"))
    });
    let allowed = plan.egress.allowed.iter().map(|it| format!("{} {:?}", place(&it.destination), it.passage));
    json!({"denied": denied.collect::<Vec<_>>(), "allowed": allowed.collect::<Vec<_>>()})
}

fn host(plan: &HostPlan) -> Value {
    json!({"bucket": plan.bucket, "ports": plan.ports, "alias": plan.alias.as_ref().map(alias)})
}

fn alias(alias: &Alias) -> Value {
    Value::String(std::net::SocketAddr::new(alias.ip, alias.port).to_string())
}

fn ports(set: &PortSet) -> Value {
    match set {
        PortSet::Any => json!("any"),
        PortSet::Only(ports) => json!(ports),
    }
}
