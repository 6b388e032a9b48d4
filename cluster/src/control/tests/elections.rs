//! Leaders come and go.

use super::*;

/// Long enough for a node that is cut off to have stood several times, if it did.
fn several_elections(timings: Timings) -> Duration {
    (timings.silence + timings.spread) * 4
}

#[tokio::test]
async fn a_leader_that_is_cut_off_is_replaced_and_comes_back_without_disturbing() {
    let world = World::of(3).await;
    let old = world.leader().await;
    let term = world.view(old).term;
    world.net.isolate(world.id(old));
    world.eventually("another leader", |world| world.leader_without(&[old]).is_some()).await;
    let new = world.leader_without(&[old]).unwrap();
    assert!(world.view(new).term > term);
    world.say(new, "majority", PATIENCE).await.unwrap();

    // The minority knows that it is one: it has no duties, and decides nothing.
    world.eventually("the old leader to see it", |world| world.at(old).leadership().is_none()).await;
    world.eventually("no leader in its view", |world| world.view(old).leader.is_none()).await;
    assert_eq!(world.say(old, "minority", world.timings.silence).await, Err(ControlError::NoLeader));
    assert_eq!(world.at(old).read(world.timings.silence).await.map(drop), Err(ControlError::NoLeader));
    assert!(!world.at(old).metrics().has_quorum);

    let before = world.view(new).term;
    world.net.heal();
    world
        .eventually("all to agree", |world| {
            world.leader_without(&[]).is_some() && (0..3).all(|at| world.name(at) == "majority")
        })
        .await;
    assert_eq!((world.leader().await, world.view(old).term), (new, before), "nobody had to elect again");
    world.say(old, "again", PATIENCE).await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn a_follower_that_comes_back_disturbs_nobody() {
    let world = World::of(3).await;
    let leader = world.leader().await;
    let (follower, term) = ((leader + 1) % 3, world.view(leader).term);
    // One way only: it hears nothing, and what it says arrives. Then both ways.
    for both in [false, true] {
        for other in (0..3).filter(|other| *other != follower) {
            world.net.cut(world.id(other), world.id(follower));
            if both {
                world.net.cut(world.id(follower), world.id(other));
            }
        }
        world.eventually("it to hear nothing", |world| world.view(follower).leader.is_none()).await;
        let silent = tokio::time::Instant::now();
        world.say(leader, if both { "both" } else { "one" }, PATIENCE).await.unwrap();
        // Not for anything to happen, but for nothing: what is not there cannot be waited for.
        let patience = several_elections(world.timings);
        world.eventually("time to have stood in vain", |_| silent.elapsed() > patience).await;
        assert_eq!(world.at(follower).metrics().term, term);
        world.net.heal();
        world.eventually("it to be back", |world| world.view(follower).leader == Some(world.id(leader))).await;
        assert_eq!((world.leader().await, world.view(leader).term), (leader, term));
    }
    world.end().await;
}

#[tokio::test]
async fn a_leader_that_hears_nobody_is_replaced_although_it_is_heard() {
    let world = World::of(3).await;
    let deaf = world.leader().await;
    for other in (0..3).filter(|other| *other != deaf) {
        world.net.cut(world.id(other), world.id(deaf));
    }
    // Something that it goes on sending for as long as nobody answers.
    assert_eq!(world.say(deaf, "pending", world.timings.silence).await, Err(ControlError::NoLeader));
    world.eventually("another leader", |world| world.leader_without(&[deaf]).is_some()).await;
    world.say((deaf + 1) % 3, "decided", PATIENCE).await.unwrap();
    world.net.heal();
    world.eventually("all to know", |world| (0..3).all(|at| world.name(at) == "decided")).await;
    world.end().await;
}

#[tokio::test]
async fn without_a_majority_nobody_leads_and_with_one_again_somebody_does() {
    let mut world = World::of(3).await;
    let leader = world.leader().await;
    for at in (0..3).filter(|at| *at != leader) {
        world.stop(at).await;
    }
    world.eventually("the leader to be none", |world| world.at(leader).leadership().is_none()).await;
    assert_eq!(world.say(leader, "alone", world.timings.silence).await, Err(ControlError::NoLeader));
    let other = (leader + 1) % 3;
    world.start(other, Beginning::Known).await;
    world.eventually("a leader of two", |world| world.leader_without(&[]).is_some()).await;
    world.say(other, "two", PATIENCE).await.unwrap();
    world.end().await;
}

#[tokio::test]
async fn the_leadership_passes_to_whom_it_is_given() {
    let world = World::of(3).await;
    let leader = world.leader().await;
    for to in [(leader + 1) % 3, (leader + 2) % 3, leader] {
        // Asked of any node.
        world.at(to).transfer_leader(world.id(to), PATIENCE).await.unwrap();
        world.say((to + 1) % 3, &format!("led-by-{to}"), PATIENCE).await.unwrap();
        assert_eq!(world.leader().await, to);
    }
    let nobody = world.at(0).transfer_leader(NodeId::new(9), PATIENCE).await;
    let no_voter = Refused::WrongState(NodeId::new(9), "no voter".to_owned());
    assert_eq!(nobody, Err(ControlError::Refused(no_voter)));
    world.end().await;
}

/// Counts, and keeps who led.
#[derive(Default)]
struct Swept(std::sync::Mutex<Vec<Leadership>>);

#[async_trait::async_trait]
impl Chores for Swept {
    async fn sweep(&self, leadership: Leadership) {
        self.0.lock().unwrap().push(leadership);
    }
}

#[tokio::test]
async fn a_leader_does_its_chores_and_others_do_none() {
    let mut world = World::of(3).await;
    let swept: Vec<Arc<Swept>> = (0..3).map(|_| Arc::default()).collect();
    for at in 0..3 {
        world.stop(at).await;
    }
    for (at, swept) in swept.iter().enumerate() {
        let setup = Setup { chores: Some(Arc::clone(swept) as Arc<dyn Chores>), ..world.setup(at) };
        let control = Control::start(setup, Beginning::Known).await.unwrap();
        world.net.attach(world.id(at), &(Arc::clone(&control) as Arc<dyn Answers>));
        world.nodes[at].control = Some(control);
    }
    world.eventually("chores", |_| swept.iter().any(|swept| !swept.0.lock().unwrap().is_empty())).await;
    let leader = world.leader().await;
    for (at, swept) in swept.iter().enumerate() {
        assert!(at == leader || swept.0.lock().unwrap().is_empty(), "{at} does not lead");
        assert!(swept.0.lock().unwrap().iter().all(|by| by.leader == world.id(leader)));
    }
    world.end().await;
}

#[tokio::test]
async fn a_leadership_that_another_one_has_won_is_asked_for_again() {
    let world = World::of(5).await;
    let leader = world.leader().await;
    let to = (leader + 1) % 5;
    // It is called, and only the leader hears that it stands.
    for other in (0..5).filter(|other| ![leader, to].contains(other)) {
        world.net.cut(world.id(to), world.id(other));
    }
    let (asked, heir) = (Arc::clone(world.at(leader)), world.id(to));
    let passing = tokio::spawn(async move { asked.transfer_leader(heir, PATIENCE).await });
    let others = |world: &World| world.leader_without(&[to]).is_some_and(|now| now != leader);
    world.eventually("another one to lead", others).await;
    world.net.heal();
    passing.await.unwrap().unwrap();
    world.eventually("all to know", |world| world.leader_without(&[]) == Some(to)).await;
    world.end().await;
}
