//! `MCPRoute`: routes to MCP servers. Accepted with any spec, unsupported until it is built.

use super::{Object, Opaque};

/// Which MCP servers an agent may reach.
pub type McpRoute = Object<Opaque, Opaque>;
