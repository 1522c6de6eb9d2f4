//! The clouds of Azure: where each is reached, and what its tokens are for.
use serde::{Deserialize, Serialize};

use crate::ResourceId;

/// A cloud of Azure.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Cloud {
    /// The global cloud.
    #[default]
    AzurePublic,
    /// The cloud in China, run by 21Vianet.
    AzureChina,
    /// The cloud of the United States government.
    AzureGovernment,
    /// A cloud of its own, such as Azure Stack Hub or an emulator.
    Custom(Endpoints),
}

/// Where a cloud is reached.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Azure Resource Manager, such as `https://management.azure.com`.
    pub resource_manager: String,
    /// The authority that gives tokens, such as `https://login.microsoftonline.com`.
    pub authority: String,
    /// What tokens for Azure Resource Manager are for, such as `https://management.azure.com`.
    pub audience: String,
    /// The portal, such as `https://portal.azure.com`.
    pub portal: String,
    /// The end of the names of storage hosts, such as `core.windows.net`.
    pub storage_suffix: String,
}

impl Endpoints {
    fn of(resource_manager: &str, authority: &str, portal: &str, storage_suffix: &str) -> Self {
        Self {
            resource_manager: resource_manager.to_owned(),
            authority: authority.to_owned(),
            audience: resource_manager.to_owned(),
            portal: portal.to_owned(),
            storage_suffix: storage_suffix.to_owned(),
        }
    }
}

impl Cloud {
    /// The cloud of a name as the Azure tools write it, such as `AzureCloud` or `AzurePublic`.
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "azurepublic" | "azurecloud" | "azurepubliccloud" => Some(Self::AzurePublic),
            "azurechina" | "azurechinacloud" => Some(Self::AzureChina),
            "azuregovernment" | "azureusgovernment" | "azureusgovernmentcloud" => Some(Self::AzureGovernment),
            _ => None,
        }
    }

    /// Where it is reached.
    pub fn endpoints(&self) -> Endpoints {
        match self {
            Self::AzurePublic => Endpoints::of(
                "https://management.azure.com",
                "https://login.microsoftonline.com",
                "https://portal.azure.com",
                "core.windows.net",
            ),
            Self::AzureChina => Endpoints::of(
                "https://management.chinacloudapi.cn",
                "https://login.chinacloudapi.cn",
                "https://portal.azure.cn",
                "core.chinacloudapi.cn",
            ),
            Self::AzureGovernment => Endpoints::of(
                "https://management.usgovcloudapi.net",
                "https://login.microsoftonline.us",
                "https://portal.azure.us",
                "core.usgovcloudapi.net",
            ),
            Self::Custom(endpoints) => endpoints.clone(),
        }
    }

    /// The scope that tokens for Azure Resource Manager are asked for.
    pub fn scope(&self) -> String {
        format!("{}/.default", self.endpoints().audience.trim_end_matches('/'))
    }

    /// The page of a resource in the portal.
    pub fn portal_url(&self, id: &ResourceId) -> String {
        format!("{}/#resource{id}", self.endpoints().portal.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_has_endpoints_of_its_own_over_https() {
        let clouds = [Cloud::AzurePublic, Cloud::AzureChina, Cloud::AzureGovernment].map(|it| it.endpoints());
        for (index, endpoints) in clouds.iter().enumerate() {
            let urls = [&endpoints.resource_manager, &endpoints.authority, &endpoints.portal];
            assert!(urls.iter().all(|url| url.starts_with("https://") && !url.ends_with('/')));
            let others = clouds.iter().skip(index + 1);
            assert!(others.into_iter().all(|other| other.authority != endpoints.authority));
        }
    }

    #[test]
    fn a_resource_has_a_page_in_the_portal_of_its_cloud() {
        let id = ResourceId::parse("/subscriptions/s/resourceGroups/g").unwrap();
        let expected = "https://portal.azure.cn/#resource/subscriptions/s/resourceGroups/g";
        assert_eq!(Cloud::AzureChina.portal_url(&id), expected);
    }

    #[test]
    fn a_scope_has_one_slash_before_its_name() {
        let mut endpoints = Cloud::AzurePublic.endpoints();
        endpoints.audience.push('/');
        assert_eq!(Cloud::Custom(endpoints).scope(), "https://management.azure.com/.default");
    }
}
