//! reqwest as an agent uses it: no word of a proxy, a CA or a key but what the environment says.
//!
//! usage: reqwest-client
//! Prints the answer of Anthropic's Messages API.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    rustls::crypto::ring::default_provider().install_default().map_err(|_| "a cryptographic provider is set")?;
    let key = std::env::var("ANTHROPIC_API_KEY")?;
    let question =
        r#"{"model":"claude-test","max_tokens":64,"messages":[{"role":"user","content":"Say hello."}]}"#;
    let request = reqwest::Client::new()
        .post("https://api.anthropic.com/v1/messages")
        .header("x-api-key", key)
        .header("anthropic-version", "2023-06-01")
        .header("content-type", "application/json")
        .body(question);
    println!("{}", request.send().await?.error_for_status()?.text().await?);
    Ok(())
}
