//! What is there after nodes have ended.

use super::*;

#[tokio::test]
async fn all_come_back_from_disk() {
    let mut world = World::of(3).await;
    world.say(2, "remembered", PATIENCE).await.unwrap();
    world.eventually("all to know", |world| (0..3).all(|at| world.name(at) == "remembered")).await;
    let before = world.at(0).state();
    for at in 0..3 {
        world.stop(at).await;
    }
    // Each knows the others before it has spoken with anybody.
    world.start(1, Beginning::Known).await;
    assert_eq!(world.at(1).state(), before);
    assert_eq!(world.view(1).members.len(), 3);
    assert_eq!(world.at(1).secrets().get().map(|secrets| secrets.0), Some(1));
    world.start(0, Beginning::Known).await;
    world.start(2, Beginning::Known).await;
    let leader = world.leader().await;
    world.say(leader, "goes-on", PATIENCE).await.unwrap();
    world.eventually("all to know", |world| (0..3).all(|at| world.name(at) == "goes-on")).await;
    world.end().await;
}

#[tokio::test]
async fn what_is_asked_for_does_not_matter_when_there_is_something_on_disk() {
    let mut world = World::found().await;
    let (cluster, generation) = (world.view(0).cluster, world.view(0).edge_generation);
    world.stop(0).await;
    let settings = Settings { name: "another".to_owned(), auto_approve: true, timings: Timings::WAN };
    world.start(0, Beginning::Found(Box::new(Found { settings, secrets: Secrets::default() }))).await;
    assert_eq!(
        (world.view(0).cluster, world.name(0), world.view(0).edge_generation),
        (cluster, "home".to_owned(), generation)
    );
    world.end().await;
}

#[tokio::test]
async fn a_node_that_starts_elsewhere_is_found_there() {
    let mut world = World::of(2).await;
    let before = world.view(0).edge_generation;
    world.stop(1).await;
    let profile = Profile { client_address: "moved.example:443".to_owned(), ..world.profile(1) };
    let control = Control::start(Setup { profile, ..world.setup(1) }, Beginning::Known).await.unwrap();
    world.net.attach(world.id(1), &(Arc::clone(&control) as Arc<dyn Answers>));
    world.nodes[1].control = Some(control);
    world
        .eventually("its new address", |world| {
            (0..2).all(|at| world.view(at).members[&world.id(1)].client_address == "moved.example:443")
        })
        .await;
    assert_eq!(world.view(0).edge_generation, before + 1);
    world.end().await;
}

#[tokio::test]
async fn a_member_that_was_away_for_long_is_told_what_has_changed() {
    let mut world = World::of(3).await;
    let away = (world.leader().await + 1) % 3;
    world.stop(away).await;
    let seed = (away + 1) % 3;
    world.at(seed).rotate(PATIENCE).await.unwrap();
    world.pass(crate::CERTIFICATE_LIFE * 2);
    world.eventually("the roll-over", |world| world.view(seed).authorities.len() == 1).await;
    // No link is made with what it shows.
    world.net.isolate(world.id(away));
    world.start(away, Beginning::Known).await;
    let old = world.view(away).authorities[0].key;
    assert_ne!(old, world.view(seed).authorities[0].key, "it believes who is not believed any more");
    let told = world.admitted(seed, away, None).await;
    world.at(away).admitted(&told).await.unwrap();
    assert_eq!(world.view(away).authorities, world.view(seed).authorities);
    world.net.heal();
    world.eventually("it to be back", |world| world.view(away).leader.is_some()).await;
    world.end().await;
}
