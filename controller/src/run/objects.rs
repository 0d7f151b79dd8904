//! The objects that `keyward run` serves without `--manifests`, as YAML: a gateway, and for each key that was found a
//! Secret, a route and a policy. A Secret has the placeholder where its key would be, which no policy accepts: the value
//! comes by `--secret`.

use std::fmt::Write as _;

use policy::secret::PLACEHOLDER;

use super::keys::Key;
use super::providers::Fill;
use super::upstream::Upstream;

/// Everything but the hosts that have a key passes untouched. Requests over plain HTTP pass too, and get no key.
const GATEWAY: &str = "\
apiVersion: clrk.apoxy.dev/v1alpha1
kind: EgressGateway
metadata: {name: run}
spec:
  defaultPolicy: allow-all
  interception: Routes
  listeners:
  - {name: egress, protocol: TLS, tls: {mode: Terminate}}
  - {name: cleartext, protocol: HTTP}
";

/// The objects for these keys, whose gateway goes through this proxy.
pub(super) fn yaml(keys: &[Key], upstream: &Upstream) -> String {
    let proxy = upstream.proxy.as_ref();
    let proxy = proxy.map(|proxy| format!("  upstreamProxy: {{address: \"{proxy}\"}}\n")).unwrap_or_default();
    let mut text = format!("{}{GATEWAY}{proxy}", head(keys));
    for key in keys {
        object(&mut text, key);
    }
    text
}

/// How to serve the file.
fn head(keys: &[Key]) -> String {
    let parts = keys.iter().flat_map(|key| key.parts.iter().map(|part| (key.row.name, part)));
    let flags =
        parts.map(|(name, part)| format!("#     --secret {name}={}:{} \\\n", part.variable, part.key));
    let flags: String = flags.collect();
    let flags = flags.strip_suffix(" \\\n").unwrap_or_default();
    format!(
        "# Made by `keyward run --print-manifests`. In a directory of their own these are served by\n#\n\
             #   keyward dev --manifests DIR \\\n{flags}\n#\n\
             # or used by `keyward run` with the same arguments.\n"
    )
}

fn object(text: &mut String, key: &Key) {
    let name = key.row.name;
    let hosts = match key.place.hosts.as_slice() {
        [] => String::new(),
        hosts => format!(", hosts: [{}]", hosts.join(", ")),
    };
    let data: String = key
        .parts
        .iter()
        .map(|part| format!("  {}: {PLACEHOLDER}  # the value of {}\n", part.key, part.variable))
        .collect();
    let target = match key.row.fill {
        Fill::Header(header, prefix) => {
            let prefix =
                if prefix.is_empty() { String::new() } else { format!("  valuePrefix: \"{prefix}\"\n") };
            format!("  secretKey: api-key\n  target: Header\n  headerName: {header}\n{prefix}")
        }
        Fill::Aws => "  target: ProviderAuth\n  providerAuth: {type: AWSv4}\n".to_owned(),
    };
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "---
apiVersion: v1
kind: Secret
metadata: {{name: {name}}}
stringData:
{data}---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: AIProviderRoute
metadata: {{name: {name}}}
spec:
  parentRefs: [{{group: clrk.apoxy.dev, kind: EgressGateway, name: run, sectionName: egress}}]
  rules: [{{matches: [{{provider: {provider}{hosts}}}]}}]
---
apiVersion: clrk.apoxy.dev/v1alpha1
kind: CredentialInjectionPolicy
metadata: {{name: {name}}}
spec:
  parentRefs: [{{group: clrk.apoxy.dev, kind: AIProviderRoute, name: {name}}}]
  secretRef: {{name: {name}}}
{target}",
        provider = key.place.provider.as_str(),
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use policy::seal::Keyring;
    use policy::secret::Secret;

    use super::*;
    use crate::compile::compile;
    use crate::conditions::Statuses;
    use crate::inputs::Inputs;
    use crate::plan::{GatewayPlan, ProxyHost, UpstreamProxy};
    use crate::run::keys::{self, Secrets};
    use crate::run::providers::TABLE;
    use crate::source::{LastGood, Listing, load};

    /// Compiles what is generated for these variables, with their values as `--secret` gives them.
    fn compiled(set: &[(&str, &str)], upstream: &Upstream) -> (GatewayPlan, Statuses) {
        let environment = set.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let secrets: Secrets = set
            .iter()
            .map(|(name, value)| (name.to_string(), Secret::new(value.as_bytes().to_vec())))
            .collect();
        let keys = keys::find(&secrets, &environment);
        let text = yaml(&keys.used, upstream);
        for (_, value) in set.iter().filter(|(_, value)| !value.starts_with("https")) {
            assert!(!text.contains(value), "a value is in the text");
        }
        let listing = Listing::from([("run.yaml".to_owned(), Ok(text.into_bytes().into()))]);
        let loaded = load(&listing, &mut LastGood::default(), &keys.overrides(&secrets));
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let keyring = Keyring::parse(&crate::state::new_keyring().expect("a keyring")).expect("a keyring");
        let compiled = compile(&Inputs::from_objects(&loaded.objects), |_| &keyring, "");
        let plan = compiled.gateways.into_values().next().expect("a gateway");
        (plan, compiled.statuses)
    }

    fn refusals(statuses: &Statuses) -> Vec<String> {
        let parts = statuses.0.iter().flat_map(|(object, status)| {
            let parts = status.parts().into_iter();
            parts.map(move |(of, conditions)| (format!("{object} {of}"), conditions))
        });
        let all = parts.flat_map(|(of, conditions)| {
            let refused = conditions.iter().filter(|(_, condition)| condition.status.as_str() == "False");
            let lines = refused.map(|(kind, condition)| format!("{of} {kind} {}", condition.message));
            lines.collect::<Vec<_>>()
        });
        // Envoys have a say in whether a gateway is ready, and there are none here.
        all.filter(|line| line.contains("Accepted") || line.contains("ResolvedRefs")).collect()
    }

    #[test]
    fn the_objects_of_every_row_are_accepted_and_credential_just_its_hosts() {
        for row in TABLE {
            let mut set: Vec<(&str, &str)> =
                row.parts.iter().map(|part| (part.variable, "value-0123456789")).collect();
            if row.variable() == "AZURE_OPENAI_API_KEY" {
                set.push(("AZURE_OPENAI_ENDPOINT", "https://contoso.openai.azure.com"));
            }
            let environment: BTreeMap<_, _> =
                set.iter().map(|(name, value)| (name.into(), value.into())).collect();
            let (plan, statuses) = compiled(&set, &Upstream::default());
            assert_eq!(refusals(&statuses), Vec::<String>::new(), "{}", row.name);
            let mut hosts = row.place(&environment).expect("a place").patterns();
            hosts.sort();
            assert_eq!(plan.hosts.into_keys().collect::<Vec<_>>(), hosts, "{}", row.name);
        }
    }

    #[test]
    fn all_keys_at_once_are_served_by_one_gateway() {
        let set: Vec<_> = crate::run::providers::variables()
            .filter(|variable| *variable != "AZURE_OPENAI_API_KEY")
            .map(|variable| (variable, "value-0123456789"))
            .collect();
        let (plan, statuses) = compiled(&set, &Upstream::default());
        assert_eq!(refusals(&statuses), Vec::<String>::new());
        assert!(plan.hosts.len() >= 20, "{}", plan.hosts.len());
    }

    #[test]
    fn the_gateway_goes_through_the_proxy_that_was_found() {
        let set = [("OPENAI_API_KEY", "sk-0123456789")];
        assert_eq!(compiled(&set, &Upstream::default()).0.upstream_proxy, None);
        for (proxy, host) in [
            ("proxy.corp.example:3128", ProxyHost::Name("proxy.corp.example".to_owned())),
            ("localhost:3128", ProxyHost::Name("localhost".to_owned())),
            ("10.0.0.9:3128", ProxyHost::Address([10, 0, 0, 9].into())),
            ("[::1]:3128", ProxyHost::Address(std::net::Ipv6Addr::LOCALHOST.into())),
        ] {
            let upstream = Upstream { proxy: Some(proxy.to_owned()), note: None };
            let (plan, statuses) = compiled(&set, &upstream);
            assert_eq!(refusals(&statuses), Vec::<String>::new(), "{proxy}");
            assert_eq!(plan.upstream_proxy, Some(UpstreamProxy { host, port: 3128 }), "{proxy}");
        }
    }

    #[test]
    fn without_its_value_a_key_is_refused_not_sent_as_the_placeholder() {
        let keys = keys::find(
            &Secrets::from([("OPENAI_API_KEY".to_owned(), Secret::new(b"sk-0123456789".to_vec()))]),
            &BTreeMap::new(),
        );
        let listing = Listing::from([(
            "run.yaml".to_owned(),
            Ok(yaml(&keys.used, &Upstream::default()).into_bytes().into()),
        )]);
        let loaded = load(&listing, &mut LastGood::default(), &crate::source::Overrides::default());
        let keyring = Keyring::parse(&crate::state::new_keyring().expect("a keyring")).expect("a keyring");
        let statuses = compile(&Inputs::from_objects(&loaded.objects), |_| &keyring, "").statuses;
        let refused = refusals(&statuses).join("\n");
        assert!(refused.contains("placeholder"), "{refused}");
    }

    #[test]
    fn the_text_is_what_the_documentation_shows() {
        let secrets = Secrets::from([("ANTHROPIC_API_KEY".to_owned(), Secret::new(b"sk-ant-0123".to_vec()))]);
        let text = yaml(&keys::find(&secrets, &BTreeMap::new()).used, &Upstream::default());
        assert!(text.contains("#     --secret anthropic=ANTHROPIC_API_KEY:api-key\n#\n"), "{text}");
        assert!(
            text.contains(
                "stringData:\n  api-key: clrk-injected-by-proxy  # the value of ANTHROPIC_API_KEY\n"
            )
        );
        assert!(text.contains("rules: [{matches: [{provider: anthropic}]}]"), "{text}");
    }
}
