//! The links to the cloud's broker: each holds one session at a time, which serves as many heaters as it has
//! subscriptions for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::bucket::Bucket;
use crate::heater::Session;
use crate::heater::polling::Place;
use crate::model::{Mac, Message};
use crate::navilink::devices::Device;
use crate::navilink::session::{ClientId, Identity};
use crate::navilink::topics;

/// The most links of an account; a device list has no more than a thousand entries, and a link serves at least 24.
const MOST_LINKS: usize = 42;

/// How far a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LinkState {
    /// It has heaters, or will have, and waits for the account's device list.
    Planned,
    /// Its sessions come and go.
    Open,
    /// Its last heater is gone; its number is not used again.
    Closed,
}

/// One link.
#[derive(Debug)]
pub struct HomeLink {
    /// Who we are on it.
    pub identity: Identity,
    /// The heaters that it serves, in the order of their addresses.
    heaters: Vec<Mac>,
    state: LinkState,
    /// When the session began that carries requests now.
    pub session: Option<Instant>,
    /// The heaters that it has subscriptions for.
    pub subscribed: BTreeSet<Mac>,
    /// Whether requests repeat.
    pub periodic: bool,
    /// What waits to be sent, and whether an answer is due.
    pub to_cloud: Bucket<(Message, bool)>,
}

impl HomeLink {
    fn new(identity: Identity, state: LinkState) -> Self {
        Self {
            identity,
            heaters: Vec::new(),
            state,
            session: None,
            subscribed: BTreeSet::new(),
            periodic: false,
            to_cloud: Bucket::default(),
        }
    }

    /// Returns its heaters, in the order of their addresses.
    pub fn heaters(&self) -> &[Mac] {
        &self.heaters
    }

    /// Returns the session, for the heater of this index.
    pub fn session_of(&self, index: usize) -> Option<Session> {
        let place = Place { index, count: self.heaters.len(), epoch: self.session? };
        Some(Session { place, periodic: self.periodic })
    }

    /// Returns whether its session lacks subscriptions for some heater.
    pub fn lacks_subscriptions(&self) -> bool {
        self.session.is_some() && self.heaters.iter().any(|mac| !self.subscribed.contains(mac))
    }

    /// Lets go of heaters that are gone or whose subscriptions have become too many; returns what it subscribes to.
    fn keep(&mut self, devices: &BTreeMap<&Mac, &Device>) -> BTreeSet<String> {
        let mut filters = BTreeSet::new();
        let mut fits = |device| topics::add_filters(&mut filters, device, &self.identity.client);
        self.heaters.retain(|mac| devices.get(mac).is_some_and(|device| fits(device)));
        filters
    }

    fn take(&mut self, mac: &Mac) {
        if let Err(place) = self.heaters.binary_search(mac) {
            self.heaters.insert(place, mac.clone());
        }
    }
}

/// All links, the first of which is always open.
#[derive(Debug)]
pub struct Links(Vec<HomeLink>);

impl Links {
    /// Begins with one.
    pub fn new(identity: Identity) -> Self {
        Self(vec![HomeLink::new(identity, LinkState::Open)])
    }

    /// Returns a link by its number, counted from 0.
    pub fn get(&self, link: usize) -> &HomeLink {
        self.0.get(link).unwrap_or(&self.0[0])
    }

    /// Returns a link by its number, to be changed.
    pub fn get_mut(&mut self, link: usize) -> &mut HomeLink {
        let link = if link < self.0.len() { link } else { 0 };
        &mut self.0[link]
    }

    /// Returns the links in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &HomeLink> {
        self.0.iter()
    }

    /// Returns whether there is a session on any of them.
    pub fn have_session(&self) -> bool {
        self.0.iter().any(|link| link.session.is_some())
    }

    /// Returns the link of a heater and its index there.
    pub fn of(&self, mac: &Mac) -> Option<(usize, usize)> {
        let mut links = self.0.iter().enumerate();
        links.find_map(|(number, link)| Some((number, link.heaters.binary_search(mac).ok()?)))
    }

    /// Takes a heater out.
    pub fn remove(&mut self, mac: &Mac) {
        for link in &mut self.0 {
            link.heaters.retain(|held| held != mac);
        }
    }

    /// Gives every heater a link: that which it has, or the first one with room for its subscriptions. Returns the
    /// heaters that none has room for.
    pub fn assign(&mut self, heaters: &[Device]) -> BTreeSet<Mac> {
        let devices: BTreeMap<&Mac, &Device> = heaters.iter().map(|device| (&device.mac, device)).collect();
        let mut filters: Vec<_> = self.0.iter_mut().map(|link| link.keep(&devices)).collect();
        let mut left_out = BTreeSet::new();
        for (mac, device) in devices {
            if self.of(mac).is_some() {
                continue;
            }
            match self.with_room(device, &mut filters) {
                Some(link) => link.take(mac),
                None => drop(left_out.insert(mac.clone())),
            }
        }
        left_out
    }

    /// Finds the first link with room for a heater, or makes one; `filters` is what each subscribes to already.
    fn with_room(&mut self, device: &Device, filters: &mut Vec<BTreeSet<String>>) -> Option<&mut HomeLink> {
        let fits = |(link, filters): (&HomeLink, &mut BTreeSet<String>)| {
            link.state != LinkState::Closed && topics::add_filters(filters, device, &link.identity.client)
        };
        if let Some(number) = self.0.iter().zip(filters.iter_mut()).position(fits) {
            return self.0.get_mut(number);
        }
        if self.0.len() >= MOST_LINKS {
            return None;
        }
        let Identity { client, session } = &self.0[0].identity;
        let client = ClientId::new(format!("{client}-{}", self.0.len() + 1));
        let mut taken = BTreeSet::new();
        topics::add_filters(&mut taken, device, &client);
        filters.push(taken);
        self.0.push(HomeLink::new(Identity { client, session: session.clone() }, LinkState::Planned));
        self.0.last_mut()
    }

    /// Returns the links that are to be opened now, since they have heaters.
    pub fn open(&mut self) -> Vec<usize> {
        self.change(|link| link.state == LinkState::Planned && !link.heaters.is_empty(), LinkState::Open)
    }

    /// Returns the links that are to be closed now, since they have none any more. The first one stays.
    pub fn close(&mut self) -> Vec<usize> {
        let closed = self.change(|link| link.state == LinkState::Open && link.heaters.is_empty(), LinkState::Closed);
        for number in &closed {
            let link = &mut self.0[*number];
            link.session = None;
            link.to_cloud.clear();
        }
        closed
    }

    fn change(&mut self, is_due: impl Fn(&HomeLink) -> bool, state: LinkState) -> Vec<usize> {
        let due: Vec<usize> = (1..self.0.len()).filter(|number| is_due(&self.0[*number])).collect();
        due.iter().for_each(|number| self.0[*number].state = state);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::navilink::session::SessionId;
    use crate::navilink::topics::MOST_FILTERS;

    fn devices(numbers: impl Iterator<Item = u64>, homes: u64) -> Vec<Device> {
        let heater = topics::tests::heater();
        numbers
            .map(|n| Device { mac: format!("04786332{n:04x}").parse().unwrap(), home_seq: n % homes, ..heater.clone() })
            .collect()
    }

    fn links() -> Links {
        Links::new(Identity { client: ClientId::new("me"), session: SessionId::from_random([1; 16]) })
    }

    fn sizes(links: &Links) -> Vec<usize> {
        links.iter().map(|link| link.heaters().len()).collect()
    }

    #[test]
    fn as_many_links_are_made_as_the_subscriptions_need() {
        for (count, homes, expected) in [
            (0, 1, vec![0]),
            (48, 1, vec![48]),
            (49, 1, vec![48, 1]),
            (60, 60, vec![24, 24, 12]),
            (500, 1, [vec![48; 10], vec![20]].concat()),
        ] {
            let mut links = links();
            let all = devices(0..count, homes);
            assert_eq!(links.assign(&all), BTreeSet::new());
            assert_eq!(sizes(&links), expected, "{count} heaters in {homes} homes");
            for link in links.iter() {
                let of_link: Vec<Device> =
                    all.iter().filter(|device| link.heaters().contains(&device.mac)).cloned().collect();
                assert!(topics::filters(&of_link, &link.identity.client).len() <= MOST_FILTERS);
            }
        }
        let mut links = links();
        assert_eq!(links.assign(&devices(0..1100, 1100)).len(), 1100 - 24 * MOST_LINKS);
    }

    #[test]
    fn each_link_has_a_client_id_of_its_own() {
        let mut links = links();
        links.assign(&devices(0..100, 1));
        let ids: Vec<&str> = links.iter().map(|link| link.identity.client.as_str()).collect();
        assert_eq!(ids, ["me", "me-2", "me-3"]);
    }

    #[test]
    fn a_heater_keeps_its_link_and_a_new_one_takes_the_first_room() {
        let mut links = links();
        links.assign(&devices(0..60, 1));
        assert_eq!((links.open(), links.open()), (vec![1], vec![]));
        let gone = devices(5..6, 1).remove(0).mac;
        links.remove(&gone);
        links.assign(&devices((0..5).chain(6..60).chain([100]), 1));
        assert_eq!(sizes(&links), [48, 12]);
        assert_eq!(links.of(&devices(100..101, 1)[0].mac), Some((0, 47)), "in the place of the one that is gone");
        assert_eq!(links.of(&devices(59..60, 1)[0].mac), Some((1, 11)));
    }

    #[test]
    fn a_link_without_heaters_is_closed_for_good_but_not_the_first() {
        let mut links = links();
        links.assign(&devices(0..60, 1));
        links.open();
        links.assign(&devices(0..48, 1));
        assert_eq!((links.close(), links.close()), (vec![1], vec![]));
        links.assign(&devices(0..60, 1));
        assert_eq!((sizes(&links), links.open()), (vec![48, 0, 12], vec![2]));
        links.assign(&[]);
        assert_eq!(links.close(), [2]);
    }
}
