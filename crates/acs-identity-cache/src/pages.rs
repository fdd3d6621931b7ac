//! The other direction: customers' first pages.

use acs_identity_core::{CustomerId, Mapping, MappingStore, Page, PageRequest, Result};

use crate::ReadThrough;
use crate::batches::{Batches, Loads};
use crate::lane::{Entered, Load};
use crate::read_through::Shared;
use crate::traced::Direction;
use crate::values::Listing;

impl<S: MappingStore + 'static> ReadThrough<S> {
    /// A customer's first page, from the cache or by a load that is shared with all who wait for it.
    ///
    /// # Errors
    /// The load's, and `Timeout`.
    pub(crate) async fn first_page(&self, customer: &CustomerId, page: &PageRequest) -> Result<Page<Mapping>> {
        let mut until = None;
        loop {
            let renew = || {
                if let Some(load) = self.0.renewal(&self.0.customers, customer) {
                    self.load_page(load, page.clone());
                }
            };
            let seat = match self.0.customers.enter(customer, |listing| listing.answers(page), renew) {
                Entered::Hit(listing) => match listing.page_for(page) {
                    Some(found) => return Ok(found),
                    None => continue,
                },
                Entered::Joined(seat) => seat,
                Entered::Leader(load) => {
                    let seat = load.seat();
                    self.0.follow();
                    self.load_page(load, page.clone());
                    seat
                }
            };
            let given = until.map_or_else(|| self.0.deadlines(), Ok)?;
            until = Some(given);
            let listing = self.0.wait(&self.0.customers, customer, &seat, &given).await?;
            // The load of another size may be of no use; then the next one is shared with those who wait for the same.
            if let Some(found) = listing.and_then(|listing| listing.page_for(page)) {
                return Ok(found);
            }
        }
    }

    fn load_page(&self, mut load: Load<CustomerId, Listing>, page: PageRequest) {
        load.request = page;
        self.0.submit([load]);
    }
}

impl<S: MappingStore + 'static> Loads<CustomerId, Listing> for Shared<S> {
    const DIRECTION: Direction = Direction::ByCustomer;

    fn batches(&self) -> &Batches<CustomerId, Listing> {
        &self.pages
    }

    async fn ask(&self, part: &[Load<CustomerId, Listing>]) -> Result<Vec<Result<Listing>>> {
        let mut answers = Vec::with_capacity(part.len());
        for load in part {
            let page = self.resolver.mappings_of(load.key(), load.request.clone()).await;
            answers.push(page.map(|page| Listing::new(&load.request, page)));
        }
        Ok(answers)
    }
}
