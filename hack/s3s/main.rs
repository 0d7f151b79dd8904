//! An S3 server that verifies: signature, date and body hash of what reaches it, as `s3s` does, over a folder.
//!
//! usage: S3S_SECRET_KEY=… s3s-server FOLDER ACCESS_KEY DOMAIN
//! Listens on a free port of 127.0.0.1, in plain HTTP, and prints it. Takes `DOMAIN/BUCKET` and `BUCKET.DOMAIN`.

use std::error::Error;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::host::MultiDomain;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(access_key), Some(domain), None) =
        (arguments.next(), arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: S3S_SECRET_KEY=… s3s-server FOLDER ACCESS_KEY DOMAIN".into());
    };
    let files = FileSystem::new(folder).map_err(|error| format!("the folder: {error:?}"))?;
    let mut service = S3ServiceBuilder::new(files);
    service.set_auth(SimpleAuth::from_single(access_key, std::env::var("S3S_SECRET_KEY")?));
    service.set_host(MultiDomain::new([domain].iter())?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(service.build()))
}

async fn serve(service: S3Service) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service.clone();
        tokio::spawn(async move {
            let server = Builder::new(TokioExecutor::new());
            // How a connection ends is the client's business.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
