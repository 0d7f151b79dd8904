//! Bodies of every framing and size up to the limit arrive as they were sent, and what is above it is refused.

use harness::client::upload::{Length, Upload};

use super::{KINDS, SUFFIXES, Watch, World, arrived, framings, held, hosts, refused};

#[tokio::test]
async fn bodies_arrive_as_they_are_up_to_a_limit_that_the_operator_set() {
    const MOST: usize = 64 << 10;
    let world = World::start(&["maxSignedBodyBytes: 64Ki"]).await;
    let mut watch = Watch::start(&world);
    for host in hosts() {
        for (way, agent) in world.ways(&host) {
            for size in [0, 1, 4 << 10, MOST, MOST + 1] {
                let request = held(&host, size);
                for (framing, upload) in framings(agent.http, &request) {
                    let case = format!("{host}, {way}, {framing}, {size} bytes");
                    let answer = upload.send(&agent).await.expect(&case);
                    let no_model = host.starts_with(KINDS[0]) && size < 2;
                    if size > MOST {
                        refused(&answer, 413, "too_large", &case);
                        watch.nothing(&world, &case);
                    } else if no_model {
                        refused(&answer, 403, "denied_by_policy", &case);
                        watch.nothing(&world, &case);
                    } else {
                        assert_eq!(answer.status, 200, "{case}: {answer:?}");
                        arrived(&world, &request, &case);
                        drop(watch.fresh(&world));
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn bodies_arrive_as_they_are_up_to_the_limit_that_nobody_set() {
    const MOST: usize = 8 << 20;
    let world = World::start(&[]).await;
    let mut watch = Watch::start(&world);
    for host in [format!("{}.{}", KINDS[0], SUFFIXES[1]), format!("{}.{}", KINDS[2], SUFFIXES[0])] {
        for (way, agent) in &world.ways(&host)[..2] {
            for size in [100 << 10, 1 << 20, MOST, MOST + 1] {
                for length in [Length::Announced, Length::Unknown] {
                    let request = held(&host, size);
                    let case = format!("{host}, {way}, {length:?}, {size} bytes");
                    let answer = Upload::new(request.clone(), length).send(agent).await.expect(&case);
                    if size > MOST {
                        refused(&answer, 413, "too_large", &case);
                        watch.nothing(&world, &case);
                    } else {
                        assert_eq!(answer.status, 200, "{case}: {answer:?}");
                        arrived(&world, &request, &case);
                        drop(watch.fresh(&world));
                    }
                }
            }
        }
    }
}
