//! The host calls that modules of ours make (proxy-wasm ABI 0.2.1, module `env`).

use wasmtime::{Linker, Result};

use super::abi::{Call, give, read, write, write_u32};
use super::maps::Headers;
use super::state::{HostState, LocalReply, Phase, Status};

/// Buffer types of the request's body, of the answer to a call, and of the plugin configuration.
const REQUEST_BODY: u32 = 0;
const HTTP_CALL_RESPONSE_BODY: u32 = 4;
const PLUGIN_CONFIGURATION: u32 = 7;

/// Defines them all.
pub(super) fn define(linker: &mut Linker<HostState>) -> Result<()> {
    define_environment(linker)?;
    define_reads(linker)?;
    define_edits(linker)?;
    define_telemetry(linker)?;
    define_streams(linker)
}

fn answer(status: Status) -> Result<u32> {
    Ok(status as u32)
}

fn define_environment(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap("env", "proxy_log", |mut call: Call<'_>, level: u32, at: u32, length: u32| {
        call.data_mut().count("proxy_log");
        let text = read(&mut call, at, length)?;
        call.data_mut().logs.push((level, String::from_utf8_lossy(&text).into_owned()));
        answer(Status::Ok)
    })?;
    linker.func_wrap("env", "proxy_get_log_level", |mut call: Call<'_>, level: u32| {
        call.data_mut().count("proxy_get_log_level");
        write(&mut call, level, &2u32.to_le_bytes())?;
        answer(Status::Ok)
    })?;
    linker.func_wrap("env", "proxy_get_current_time_nanoseconds", |mut call: Call<'_>, place: u32| {
        call.data_mut().count("proxy_get_current_time_nanoseconds");
        let now = call.data().now;
        write(&mut call, place, &now.to_le_bytes())?;
        answer(Status::Ok)
    })?;
    linker.func_wrap("env", "proxy_set_tick_period_milliseconds", |mut call: Call<'_>, period: u32| {
        call.data_mut().count("proxy_set_tick_period_milliseconds");
        call.data_mut().tick_period = Some(period);
        answer(Status::Ok)
    })?;
    Ok(())
}

/// Metrics are counted by name. Calls to clusters wait for the test to answer them.
fn define_telemetry(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_define_metric",
        |mut call: Call<'_>, _kind: u32, name: u32, size: u32, place: u32| {
            call.data_mut().count("proxy_define_metric");
            let name = String::from_utf8_lossy(&read(&mut call, name, size)?).into_owned();
            let number = call.data_mut().define_metric(name);
            write(&mut call, place, &number.to_le_bytes())?;
            answer(Status::Ok)
        },
    )?;
    for import in ["proxy_increment_metric", "proxy_record_metric"] {
        linker.func_wrap("env", import, move |mut call: Call<'_>, number: u32, value: u64| {
            call.data_mut().count(import);
            answer(if call.data_mut().add_to_metric(number, value) { Status::Ok } else { Status::NotFound })
        })?;
    }
    linker.func_wrap(
        "env",
        "proxy_http_call",
        |mut call: Call<'_>,
         cluster: u32,
         cluster_size: u32,
         headers: u32,
         headers_size: u32,
         body: u32,
         body_size: u32,
         _trailers: u32,
         _trailers_size: u32,
         _timeout: u32,
         place: u32| {
            call.data_mut().count("proxy_http_call");
            let cluster = String::from_utf8_lossy(&read(&mut call, cluster, cluster_size)?).into_owned();
            let headers = Headers::from_bytes(&read(&mut call, headers, headers_size)?).unwrap_or_default();
            let body = read(&mut call, body, body_size)?;
            let number = call.data_mut().post(cluster, headers, body);
            write_u32(&mut call, place, number)?;
            answer(Status::Ok)
        },
    )?;
    Ok(())
}

fn define_reads(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_get_buffer_bytes",
        |mut call: Call<'_>, kind: u32, start: u32, most: u32, place: u32, size: u32| {
            call.data_mut().count("proxy_get_buffer_bytes");
            let state = call.data_mut();
            let data = match (kind, state.phase) {
                (HTTP_CALL_RESPONSE_BODY, Phase::CallAnswer) => &state.call_answer.1,
                (PLUGIN_CONFIGURATION, Phase::Configure) => &state.plugin_configuration,
                (REQUEST_BODY, Phase::Body) => match state.stream() {
                    Some(stream) => &stream.body,
                    None => return answer(Status::BadArgument),
                },
                _ => return answer(Status::NotFound),
            };
            let data: Vec<u8> = data.iter().skip(start as usize).take(most as usize).copied().collect();
            give(&mut call, &data, place, size)?;
            answer(Status::Ok)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_pairs",
        |mut call: Call<'_>, map: u32, place: u32, size: u32| {
            call.data_mut().count("proxy_get_header_map_pairs");
            // A map that is out of reach reads as an empty one, as in Envoy.
            let map = call.data_mut().readable(map).map(Headers::to_bytes).unwrap_or_default();
            give(&mut call, &map, place, size)?;
            answer(Status::Ok)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_header_map_value",
        |mut call: Call<'_>, map: u32, name: u32, name_size: u32, place: u32, size: u32| {
            call.data_mut().count("proxy_get_header_map_value");
            let name = read(&mut call, name, name_size)?;
            let Some(map) = call.data_mut().readable(map) else { return answer(Status::BadArgument) };
            let Some(value) = map.first(&name).map(<[u8]>::to_vec) else { return answer(Status::NotFound) };
            give(&mut call, &value, place, size)?;
            answer(Status::Ok)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_get_property",
        |mut call: Call<'_>, path: u32, path_size: u32, place: u32, size: u32| {
            call.data_mut().count("proxy_get_property");
            let path = String::from_utf8_lossy(&read(&mut call, path, path_size)?).replace('\0', ".");
            let Some(value) = call.data_mut().property(path.trim_end_matches('.')) else {
                return answer(Status::NotFound);
            };
            give(&mut call, &value, place, size)?;
            answer(Status::Ok)
        },
    )?;
    Ok(())
}

fn define_edits(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_set_header_map_pairs",
        |mut call: Call<'_>, map: u32, at: u32, length: u32| {
            call.data_mut().count("proxy_set_header_map_pairs");
            let pairs = Headers::from_bytes(&read(&mut call, at, length)?);
            edit(&mut call, map, |map| *map = pairs.unwrap_or_default())
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_add_header_map_value",
        |mut call: Call<'_>, map: u32, name: u32, name_size: u32, value: u32, value_size: u32| {
            call.data_mut().count("proxy_add_header_map_value");
            let (name, value) = (read(&mut call, name, name_size)?, read(&mut call, value, value_size)?);
            edit(&mut call, map, |map| map.add(&name, &value))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_replace_header_map_value",
        |mut call: Call<'_>, map: u32, name: u32, name_size: u32, value: u32, value_size: u32| {
            call.data_mut().count("proxy_replace_header_map_value");
            let (name, value) = (read(&mut call, name, name_size)?, read(&mut call, value, value_size)?);
            edit(&mut call, map, |map| map.replace(&name, &value))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_remove_header_map_value",
        |mut call: Call<'_>, map: u32, name: u32, name_size: u32| {
            call.data_mut().count("proxy_remove_header_map_value");
            let name = read(&mut call, name, name_size)?;
            edit(&mut call, map, |map| map.remove(&name))
        },
    )?;
    Ok(())
}

fn edit(call: &mut Call<'_>, map: u32, change: impl FnOnce(&mut Headers)) -> Result<u32> {
    match call.data_mut().writable(map) {
        Some(map) => {
            change(map);
            answer(Status::Ok)
        }
        None => answer(Status::BadArgument),
    }
}

fn define_streams(linker: &mut Linker<HostState>) -> Result<()> {
    linker.func_wrap(
        "env",
        "proxy_set_property",
        |mut call: Call<'_>, path: u32, path_size: u32, value: u32, value_size: u32| {
            call.data_mut().count("proxy_set_property");
            let path = String::from_utf8_lossy(&read(&mut call, path, path_size)?).replace('\0', ".");
            let value = read(&mut call, value, value_size)?;
            let Some(stream) = call.data_mut().stream() else { return answer(Status::NotFound) };
            stream.set.insert(path, value);
            answer(Status::Ok)
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_send_local_response",
        |mut call: Call<'_>,
         status: u32,
         details: u32,
         details_size: u32,
         body: u32,
         body_size: u32,
         headers: u32,
         headers_size: u32,
         _grpc_status: i32| {
            call.data_mut().count("proxy_send_local_response");
            let details = String::from_utf8_lossy(&read(&mut call, details, details_size)?).into_owned();
            let body = read(&mut call, body, body_size)?;
            let headers = Headers::from_bytes(&read(&mut call, headers, headers_size)?).unwrap_or_default();
            let Some(stream) = call.data_mut().stream() else { return answer(Status::BadArgument) };
            stream.local_reply = Some(LocalReply { status, details, headers, body });
            answer(Status::Ok)
        },
    )?;
    linker.func_wrap("env", "proxy_set_effective_context", |mut call: Call<'_>, context: u32| {
        call.data_mut().count("proxy_set_effective_context");
        call.data_mut().context = context;
        answer(Status::Ok)
    })?;
    linker.func_wrap("env", "proxy_done", |mut call: Call<'_>| {
        call.data_mut().count("proxy_done");
        answer(Status::Ok)
    })?;
    Ok(())
}
