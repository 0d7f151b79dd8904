//! Messages over a Unix socket: a length, JSON, and descriptors that come along with the length (unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Descriptors that come with one message.
const DESCRIPTORS: usize = 2;

/// The longest message: what `execve` takes in arguments and environment is less (MAX_ARG_STRINGS, stack / 4), and
/// JSON makes four bytes of one.
const LIMIT: usize = 64 << 20;

/// A message as it goes over the socket.
pub(super) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    Ok([length.to_ne_bytes().as_slice(), &body].concat())
}

/// Sends a message.
pub(super) async fn send(
    socket: &UnixStream,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = encode(message)?;
    let first = socket.async_io(Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(sendmsg(socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?)
    });
    let mut sent = first.await?;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        sent += socket.async_io(Interest::WRITABLE, || socket.try_write(rest)).await?;
    }
    Ok(())
}

/// Receives a message; `None` when the other side is gone. Not to be cancelled within.
pub(super) async fn receive<T: DeserializeOwned>(
    socket: &UnixStream,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut length = [0; 4];
    let mut descriptors = Vec::new();
    let mut filled = 0;
    while let Some(rest) = length.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match socket.async_io(Interest::READABLE, || read(socket, rest, &mut descriptors)).await? {
            0 => return Ok(None),
            read => filled += read,
        }
    }
    let length = usize::try_from(u32::from_ne_bytes(length)).map_err(io::Error::other)?;
    if length > LIMIT {
        return Err(io::Error::other("a message is too long"));
    }
    let mut body = vec![0; length];
    let mut filled = 0;
    while let Some(rest) = body.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match socket.async_io(Interest::READABLE, || read(socket, rest, &mut Vec::new())).await? {
            0 => return Ok(None),
            read => filled += read,
        }
    }
    Ok(Some((serde_json::from_slice(&body)?, descriptors)))
}

fn read(socket: impl AsFd, into: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(into)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    Ok(received.bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[tokio::test]
    async fn a_message_larger_than_the_sockets_buffer_arrives_with_its_descriptors() {
        let (one, two) = UnixStream::pair().unwrap();
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let message = vec!["x".repeat(1 << 20); 3];
        let received = tokio::spawn(async move { receive::<Vec<String>>(&two).await });
        send(&one, &message, &[writer.as_fd()]).await.unwrap();
        let (received, descriptors) = received.await.unwrap().unwrap().unwrap();
        assert_eq!(received, message);
        writer.write_all(b"kept").unwrap();
        drop(writer);
        let [descriptor] = <[OwnedFd; 1]>::try_from(descriptors).unwrap();
        std::fs::File::from(descriptor).write_all(b" open").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "kept open");
    }

    #[tokio::test]
    async fn the_end_of_the_other_side_is_no_message() {
        let (one, two) = UnixStream::pair().unwrap();
        drop(two);
        assert!(receive::<String>(&one).await.unwrap().is_none());
    }
}
