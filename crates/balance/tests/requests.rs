//! Requests under a random life of workers, from printed seeds: nothing is lost, nothing is placed
//! twice, limits hold, and nothing waits while a worker could have it.

use std::collections::{HashMap, HashSet};

use balance::{
    Arrival, Client, Look, Loops, MemberId, Next, Placed, RequestBalancer, RequestPolicy,
    RequestSettings, Ticket,
};
use fastrand::Rng;

/// Workers that look as chance has it: a look may be out of date, and is only a hint.
struct Chance<'a> {
    random: &'a mut Rng,
    watched: &'a mut HashSet<u64>,
    staged: &'a HashMap<u64, Arrival>,
}

impl Loops for Chance<'_> {
    fn look(&mut self, _: MemberId) -> Look {
        match self.random.u64(..4) {
            0 => Look::Waiting,
            1 => Look::Away,
            2 => Look::Unknown,
            _ => Look::Running,
        }
    }

    fn unread(&mut self, _: MemberId) -> bool {
        self.random.bool()
    }

    fn is_staged(&mut self, member: MemberId) -> bool {
        self.staged.contains_key(&member.0)
    }

    fn probe(&mut self, _: MemberId) -> bool {
        self.random.u64(..8) > 0
    }

    fn watch(&mut self, member: MemberId, on: bool) {
        if on {
            self.watched.insert(member.0);
        } else {
            self.watched.remove(&member.0);
        }
    }
}

const POLICIES: [RequestPolicy; 5] = [
    RequestPolicy::NextAvailable,
    RequestPolicy::RoundRobin,
    RequestPolicy::LeastConn,
    RequestPolicy::IpHash,
    RequestPolicy::Sticky,
];

/// The world as it should be.
#[derive(Default)]
struct World {
    now: u64,
    tickets: u64,
    members: Vec<u64>,
    /// Which member has which request.
    placed: HashMap<u64, u64>,
    /// What lies before each member, and can be taken back.
    staged: HashMap<u64, Arrival>,
    waiting: HashSet<u64>,
    watched: HashSet<u64>,
}

impl World {
    fn place(&mut self, seed: u64, ticket: Ticket, member: MemberId) {
        assert!(
            self.members.contains(&member.0),
            "seed {seed}: a member that left"
        );
        assert!(
            self.placed.insert(ticket.0, member.0).is_none(),
            "seed {seed}: placed twice"
        );
        self.waiting.remove(&ticket.0);
    }

    fn serve(&mut self, seed: u64, balancer: &mut RequestBalancer, random: &mut Rng) {
        loop {
            let mut watched = std::mem::take(&mut self.watched);
            let mut loops = Chance {
                random,
                watched: &mut watched,
                staged: &self.staged,
            };
            let next = balancer.next(self.now, &mut loops);
            self.watched = watched;
            match next {
                Some(Next::Give(arrival, member)) => self.place(seed, arrival.ticket, member),
                Some(Next::Stage(arrival, member)) => {
                    self.place(seed, arrival.ticket, member);
                    let before = self.staged.insert(member.0, arrival);
                    assert!(before.is_none(), "seed {seed}: two staged at one member");
                }
                Some(Next::Recall(member)) => self.recall(seed, member, balancer, random),
                None => return,
            }
        }
    }

    /// What is staged comes back, or the worker was faster.
    fn recall(
        &mut self,
        seed: u64,
        member: MemberId,
        balancer: &mut RequestBalancer,
        random: &mut Rng,
    ) {
        if let Some(back) = self.staged.remove(&member.0)
            && random.u64(..8) > 0
        {
            self.placed.remove(&back.ticket.0);
            self.waiting.insert(back.ticket.0);
            balancer.taken_back(self.now, member, back, self.now);
        } else {
            assert!(
                balancer.taken(self.now, member).is_some(),
                "seed {seed}: nothing was staged"
            );
        }
    }
}

fn arrival(ticket: u64, random: &mut Rng) -> Arrival {
    Arrival {
        ticket: Ticket(ticket),
        client: Client::unknown(random.u64(..6)),
        wants: (random.bool()).then(|| random.u64(..4)),
        failed: None,
    }
}

#[test]
fn nothing_is_lost_and_limits_hold() {
    for seed in 0..3000 {
        let mut random = Rng::with_seed(seed);
        let policy = POLICIES[random.usize(..5)];
        let most = 1 + random.usize(..4);
        let mut balancer = RequestBalancer::new(RequestSettings {
            policy,
            max_concurrency: most,
            queue: 8,
            queue_timeout: u64::MAX,
        });
        let mut world = World::default();
        for _ in 0..300 {
            world.now += random.u64(..400_000);
            match random.u64(..11) {
                10 => {
                    let at = random.usize(..world.members.len().max(1));
                    if let Some(id) = world.members.get(at) {
                        balancer.set_well(world.now, MemberId(*id), random.bool());
                    }
                }
                0 if world.members.len() < 4 => {
                    let id = world.now << 8 | world.members.len() as u64;
                    world.members.push(id);
                    balancer.join(MemberId(id), random.u64(..4));
                }
                1 if random.u64(..4) == 0 && !world.members.is_empty() => {
                    let at = random.usize(..world.members.len());
                    let id = world.members.remove(at);
                    world.watched.remove(&id);
                    world.staged.remove(&id);
                    balancer.leave(MemberId(id));
                    world.placed.retain(|_, member| *member != id);
                }
                2..=4 => {
                    let mut ended: Vec<_> = world.placed.iter().map(|(t, m)| (*t, *m)).collect();
                    ended.sort_unstable();
                    if let Some((ticket, member)) = ended.get(random.usize(..ended.len().max(1))) {
                        world.placed.remove(ticket);
                        let id = MemberId(*member);
                        let staged = world.staged.get(member);
                        let is_staged = staged.is_some_and(|it| it.ticket.0 == *ticket);
                        if random.u64(..8) == 0 {
                            if is_staged {
                                world.staged.remove(member);
                            }
                            world.waiting.insert(*ticket);
                            let again = arrival(*ticket, &mut random);
                            balancer.came_back(world.now, id, again, world.now);
                        } else if is_staged {
                            // Its client has left; what it leaves lies there for a while.
                            balancer.left(world.now, id, Ticket(*ticket));
                        } else {
                            balancer.ended(world.now, id);
                        }
                    }
                }
                5 if random.bool() => {
                    // A loop turns.
                    let at = random.usize(..world.members.len().max(1));
                    if let Some(id) = world.members.get(at).copied() {
                        let taken = world.staged.remove(&id);
                        let mut watched = std::mem::take(&mut world.watched);
                        let mut loops = Chance {
                            random: &mut random,
                            watched: &mut watched,
                            staged: &world.staged,
                        };
                        let told = balancer.turned(world.now, MemberId(id), &mut loops);
                        world.watched = watched;
                        let known = taken.map(|it| it.ticket);
                        let known = known.filter(|it| world.placed.contains_key(&it.0));
                        assert_eq!(told, known, "seed {seed}");
                    }
                }
                5 => {
                    // Any of them gives up, wherever it stands, or many do at once.
                    let mut waiting: Vec<_> = world.waiting.iter().copied().collect();
                    waiting.sort_unstable();
                    let many = random.u64(..4) == 0;
                    let one = random.usize(..waiting.len().max(1));
                    let gone = waiting.into_iter().enumerate();
                    for (_, gone) in gone.filter(|(at, _)| many || *at == one) {
                        world.waiting.remove(&gone);
                        balancer.cancel(Ticket(gone));
                    }
                }
                _ => {
                    let ticket = world.tickets;
                    world.tickets += 1;
                    let arrived = arrival(ticket, &mut random);
                    let mut watched = std::mem::take(&mut world.watched);
                    let mut loops = Chance {
                        random: &mut random,
                        watched: &mut watched,
                        staged: &world.staged,
                    };
                    let placed = balancer.arrive(world.now, arrived, &mut loops);
                    world.watched = watched;
                    match placed {
                        Placed::At(member) => world.place(seed, Ticket(ticket), member),
                        Placed::Waits => drop(world.waiting.insert(ticket)),
                        Placed::Refused => assert!(world.waiting.len() >= 8, "seed {seed}"),
                    }
                }
            }
            world.serve(seed, &mut balancer, &mut random);
            assert_eq!(balancer.waiting(), world.waiting.len(), "seed {seed}");
            let has_staged = world
                .staged
                .values()
                .any(|it| world.placed.contains_key(&it.ticket.0));
            let has_more = !world.waiting.is_empty() || has_staged;
            assert_eq!(balancer.has_more(), has_more, "seed {seed}");
            assert_eq!(
                balancer.deadline().is_some(),
                has_more,
                "seed {seed}: what waits is looked after, and nothing else"
            );
            for (id, _, figures) in balancer.members() {
                let has = world
                    .placed
                    .values()
                    .filter(|member| **member == id.0)
                    .count();
                assert_eq!(figures.in_progress, has, "seed {seed}");
                assert!(has <= most, "seed {seed}: more than allowed");
            }
            if !has_more {
                assert!(world.watched.is_empty(), "seed {seed}: watched for nothing");
            }
        }
        // Everything ends: all that waits is placed in the end.
        for _ in 0..10_000 {
            if world.waiting.is_empty() || world.members.is_empty() {
                break;
            }
            world.now += 1_000_000;
            // Of what is staged, it is heard that it was taken.
            for member in std::mem::take(&mut world.staged).into_keys() {
                balancer.taken(world.now, MemberId(member));
            }
            let placed: Vec<_> = world.placed.drain().collect();
            for (_, member) in placed {
                balancer.ended(world.now, MemberId(member));
            }
            world.serve(seed, &mut balancer, &mut random);
        }
        assert!(
            world.waiting.is_empty() || world.members.is_empty(),
            "seed {seed}: {policy:?}"
        );
    }
}
