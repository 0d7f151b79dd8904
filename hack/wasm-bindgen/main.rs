//! Runs a test binary built for `wasm32-unknown-unknown`: the command line of the published runner, nothing added.

fn main() -> anyhow::Result<()> {
    wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(std::env::args_os())?;
    Ok(())
}
