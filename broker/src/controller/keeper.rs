//! What the registry's leader has looked at, so that a change costs what it changes.

use pelton_client::admission::uid_from_bits;
use pelton_client::events::Teller;
use pelton_client::objects::Objects;
use pelton_client::status::Statuses;
use pelton_client::{OperationError, Resources};
use pelton_log::Term;
use pelton_resource::Resource;

use super::serving::Served;
use super::startable::Startable;
use crate::node::Shared;
use crate::registry::RegistryCommand;

/// Resources that are stored by one command: far below the largest record of the log.
const AT_ONCE: usize = 500;

/// All of it is as of one version of the resources and of one term: whoever leads anew looks at everything once.
pub(super) struct Keeper {
    pub(super) term: Term,
    pub(super) resources: Resources,
    pub(super) statuses: Statuses,
    pub(super) startable: Startable,
    pub(super) objects: Objects,
    pub(super) serving: Served,
    pub(super) ingress: Option<String>,
    teller: Teller,
}

impl Keeper {
    pub(super) fn new(term: Term) -> Self {
        Self {
            term,
            resources: Resources::default(),
            statuses: Statuses::default(),
            startable: Startable::default(),
            objects: Objects::default(),
            serving: Served::default(),
            ingress: None,
            teller: Teller::default(),
        }
    }

    /// Stores resources in the place of those of `current`, and with them the Events that are to be told of it.
    pub(super) async fn store(
        &mut self,
        shared: &Shared,
        current: &Resources,
        mut resources: Vec<Resource>,
    ) -> Result<(), OperationError> {
        let (now, chance) = (shared.clock.now(), &shared.chance);
        let mut new_uid = || uid_from_bits(chance.bits(), chance.bits());
        let told = self.teller.tell(&resources, current, self.objects.events(), now, &mut new_uid);
        resources.extend(told);
        for some in resources.chunks(AT_ONCE) {
            shared.registry.commit_in(self.term, &RegistryCommand::Put(some.to_vec())).await?;
        }
        Ok(())
    }

    /// Takes in the resources, up to which version triggers are started in every group, and where ingress is.
    pub(super) fn follow(&mut self, resources: &Resources, started: u64, ingress: Option<String>) {
        self.statuses.follow(resources);
        self.startable.follow(self.statuses.triggers(), &self.resources, resources);
        for id in self.startable.start(started) {
            self.statuses.look_at(id);
        }
        if self.ingress != ingress {
            self.ingress = ingress;
            self.statuses.look_at_all();
        }
        self.objects.follow(resources);
        self.resources = resources.clone();
    }
}
