//! Which users of Entra ID may use the resource.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::refusal::Refusal;
use crate::request::Body;

/// A right of somebody in Entra ID to use the resource, by some applications.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Assignment {
    object_id: String,
    tenant_id: String,
    principal_type: String,
    client_ids: Vec<String>,
}

impl Assignment {
    /// Reads one from a request. A Teams Phone assignment has its tenant in the path, an Entra ID assignment in the
    /// body.
    pub(crate) fn read(object: &str, tenant: Option<&str>, body: &Body) -> Result<Self, Refusal> {
        let (tenant_id, kinds) = match tenant {
            // The specification and the documentation name the second one differently.
            Some(tenant) => (tenant, ["user", "resourceAccount", "teamsResourceAccount"]),
            None => (body.required_text("tenantId")?, ["user", "group", "tenant"]),
        };
        let principal_type = body.required_text("principalType")?;
        if !kinds.contains(&principal_type) {
            let message = format!("principalType must be one of {}.", kinds.join(", "));
            return Err(Refusal::validation("principalType", message));
        }
        Ok(Self {
            object_id: object.to_owned(),
            tenant_id: tenant_id.to_owned(),
            principal_type: principal_type.to_owned(),
            client_ids: body.texts("clientIds")?,
        })
    }

    fn allows(&self, client: Option<&str>) -> bool {
        // Applications are only listed for users.
        self.client_ids.is_empty() || client.is_some_and(|client| self.client_ids.iter().any(|one| one == client))
    }
}

/// All of them.
#[derive(Default)]
pub(crate) struct Assignments {
    /// By tenant and object.
    extension: HashMap<(String, String), Assignment>,
    /// By object; sorted, so that a list is always in the same order.
    entra: BTreeMap<String, Assignment>,
}

impl Assignments {
    pub(crate) fn extension(&self, tenant: &str, object: &str) -> Option<&Assignment> {
        self.extension.get(&(tenant.to_owned(), object.to_owned()))
    }

    /// Whether it is a new one.
    pub(crate) fn put_extension(&mut self, assignment: Assignment) -> bool {
        let key = (assignment.tenant_id.clone(), assignment.object_id.clone());
        self.extension.insert(key, assignment).is_none()
    }

    pub(crate) fn delete_extension(&mut self, tenant: &str, object: &str) {
        self.extension.remove(&(tenant.to_owned(), object.to_owned()));
    }

    pub(crate) fn entra(&self, object: &str) -> Option<&Assignment> {
        self.entra.get(object)
    }

    pub(crate) fn all_entra(&self) -> Vec<&Assignment> {
        self.entra.values().collect()
    }

    /// Whether it is a new one.
    pub(crate) fn put_entra(&mut self, assignment: Assignment) -> bool {
        self.entra.insert(assignment.object_id.clone(), assignment).is_none()
    }

    pub(crate) fn delete_entra(&mut self, object: &str) {
        self.entra.remove(object);
    }

    /// Whether a Teams user may use the resource by Teams Phone extensibility.
    pub(crate) fn allow_extension(&self, tenant: &str, object: &str, client: Option<&str>) -> bool {
        self.extension(tenant, object).is_some_and(|assignment| assignment.allows(client))
    }

    /// Whether a user of Entra ID may use the resource: by an assignment to the user or to the whole tenant. Who is
    /// in a group is not known here.
    pub(crate) fn allow_entra(&self, tenant: &str, object: &str, client: Option<&str>) -> bool {
        let mine = [(object, "user"), (tenant, "tenant")];
        mine.iter().any(|(object, kind)| {
            self.entra(object).is_some_and(|assignment| {
                assignment.principal_type == *kind && assignment.tenant_id == tenant && assignment.allows(client)
            })
        })
    }
}
