//! Threats whose answer is not built yet: the table lists them, so that nobody takes their absence for a pass.

/// Id, and what will be tried.
pub(crate) const LATER: &[(&str, &str)] = &[
    ("F2.metric", "a metric counts refused configurations"),
    ("F7", "a caller without identity where one is required"),
    ("L2.tokens", "refreshed tokens in answers"),
    ("L3.cluster", "the key in Events and status of a cluster"),
    ("L4.cluster", "a Secret of another namespace, named by an object in a Kubernetes cluster"),
    ("L7", "an old key after a rotation, echoed back"),
    ("A8.cluster", "a cluster's gateway goes on without its controller"),
];
