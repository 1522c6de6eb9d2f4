"""Role definitions, role assignments and just-in-time requests, by azure-mgmt-authorization."""

import unittest
import uuid

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.authorization import AuthorizationManagementClient

import emulator

SCOPE = f"/subscriptions/{emulator.SUBSCRIPTION}"
GROUP_SCOPE = f"{SCOPE}/resourceGroups/access"
READER = f"{SCOPE}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"


class Access(unittest.TestCase):
    """Each test works on a principal of its own."""

    @classmethod
    def setUpClass(cls):
        cls.recorder = emulator.Recorder()
        cls.client = AuthorizationManagementClient(
            credential=emulator.credential(),
            subscription_id=emulator.SUBSCRIPTION,
            base_url=emulator.ENDPOINT,
            credential_scopes=[f"{emulator.ENDPOINT}/.default"],
            retry_total=0,
            raw_response_hook=cls.recorder,
        )
        cls.addClassCleanup(cls.client.close)

    def setUp(self):
        self.principal = str(uuid.uuid4())

    def status(self):
        """The status of the last answer."""
        return self.recorder.exchanges[-1].status

    def test_custom_role_is_made_changed_listed_and_deleted(self):
        roles, name = self.client.role_definitions, str(uuid.uuid4())
        body = {
            "role_name": f"Endpoint operator {name}",
            "description": "runs endpoints",
            "role_type": "CustomRole",
            "assignable_scopes": [GROUP_SCOPE],
            "permissions": [
                {
                    "actions": ["Microsoft.MachineLearningServices/workspaces/onlineEndpoints/*"],
                    "not_actions": ["Microsoft.MachineLearningServices/workspaces/onlineEndpoints/delete"],
                    "data_actions": [],
                    "not_data_actions": [],
                }
            ],
        }
        made = roles.create_or_update(GROUP_SCOPE, name, body)
        self.assertEqual(201, self.status())
        self.assertEqual((body["role_name"], "CustomRole"), (made.role_name, made.role_type))
        found = roles.get(GROUP_SCOPE, name)
        self.assertEqual(body["permissions"][0]["actions"], found.permissions[0].actions)
        self.assertEqual(body["permissions"][0]["not_actions"], found.permissions[0].not_actions)
        changed = roles.create_or_update(GROUP_SCOPE, name, body | {"description": "changed"})
        self.assertEqual("changed", changed.description)
        custom = [role.name for role in roles.list(GROUP_SCOPE, filter="type eq 'CustomRole'")]
        self.assertIn(name, custom)
        by_name = [role.name for role in roles.list(GROUP_SCOPE, filter=f"roleName eq '{body['role_name']}'")]
        self.assertEqual([name], by_name)
        self.assertIsNotNone(roles.delete(GROUP_SCOPE, name))
        self.assertEqual(200, self.status())
        with self.assertRaises(ResourceNotFoundError):
            roles.get(GROUP_SCOPE, name)
        roles.delete(GROUP_SCOPE, name)
        self.assertEqual(204, self.status())

    def test_built_in_roles_have_their_ids(self):
        found = {role.role_name: role.name for role in self.client.role_definitions.list(SCOPE)}
        for name, guid in {
            "Owner": "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
            "Contributor": "b24988ac-6180-42a0-ab88-20f7382dd24c",
            "Reader": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
            "AzureML Data Scientist": "f6c7c914-8db3-469d-8ca1-694a8f32e121",
            "AzureML Registry User": "1823dd4f-9b8c-4ab6-ab4e-7397a3684615",
        }.items():
            self.assertEqual(guid, found.get(name), name)

    def assignment(self):
        """The body of an assignment to this test's principal."""
        return {"role_definition_id": READER, "principal_id": self.principal, "principal_type": "ServicePrincipal"}

    def test_assignment_is_made_found_and_deleted(self):
        assignments, name = self.client.role_assignments, str(uuid.uuid4())
        made = assignments.create(GROUP_SCOPE, name, self.assignment())
        self.assertEqual(201, self.status())
        self.assertEqual((self.principal, READER.lower()), (made.principal_id, made.role_definition_id.lower()))
        self.assertEqual(GROUP_SCOPE.lower(), made.scope.lower())
        self.assertEqual(self.principal, assignments.get(GROUP_SCOPE, name).principal_id)
        self.assertEqual(self.principal, assignments.get_by_id(made.id).principal_id)
        assignments.create(GROUP_SCOPE, name, self.assignment())
        self.assertIn(self.status(), (200, 201))
        for listed in (
            assignments.list_for_scope(GROUP_SCOPE, filter=f"principalId eq '{self.principal}'"),
            assignments.list_for_scope(GROUP_SCOPE, filter="atScope()"),
            assignments.list_for_subscription(filter=f"assignedTo('{self.principal}')"),
            assignments.list_for_resource_group("access"),
        ):
            self.assertIn(name, [one.name for one in listed])
        assignments.delete(GROUP_SCOPE, name)
        self.assertEqual(200, self.status())
        with self.assertRaises(ResourceNotFoundError):
            assignments.get(GROUP_SCOPE, name)
        assignments.delete(GROUP_SCOPE, name)
        self.assertEqual(204, self.status())

    def test_same_assignment_under_another_name_is_a_conflict(self):
        assignments = self.client.role_assignments
        assignments.create(GROUP_SCOPE, str(uuid.uuid4()), self.assignment())
        with self.assertRaises(HttpResponseError) as refused:
            assignments.create(GROUP_SCOPE, str(uuid.uuid4()), self.assignment())
        self.assertEqual((409, "RoleAssignmentExists"), (refused.exception.status_code, refused.exception.error.code))

    def test_assignment_of_another_role_under_the_same_name_is_refused(self):
        assignments, name = self.client.role_assignments, str(uuid.uuid4())
        assignments.create(GROUP_SCOPE, name, self.assignment())
        other = READER.replace("acdd72a7-3385-48ef-bd42-f606fba81ae7", "b24988ac-6180-42a0-ab88-20f7382dd24c")
        with self.assertRaises(HttpResponseError) as refused:
            assignments.create(GROUP_SCOPE, name, self.assignment() | {"role_definition_id": other})
        self.assertIn(refused.exception.status_code, (400, 409))

    def request(self, kind, **more):
        """The body of a just-in-time request."""
        return {
            "principal_id": self.principal,
            "role_definition_id": READER,
            "request_type": kind,
            "justification": "the suite",
            "schedule_info": {"expiration": {"type": "AfterDuration", "duration": "PT8H"}},
        } | more

    def test_eligibility_is_granted_listed_and_taken_away(self):
        requests, name = self.client.role_eligibility_schedule_requests, str(uuid.uuid4())
        made = requests.create(GROUP_SCOPE, name, self.request("AdminAssign"))
        self.assertEqual(201, self.status())
        self.assertEqual(("Provisioned", self.principal), (made.status, made.principal_id))
        self.assertEqual("Provisioned", requests.get(GROUP_SCOPE, name).status)
        only = f"principalId eq '{self.principal}'"
        schedules = list(self.client.role_eligibility_schedules.list_for_scope(GROUP_SCOPE, filter=only))
        self.assertEqual([self.principal], [one.principal_id for one in schedules])
        instances = self.client.role_eligibility_schedule_instances.list_for_scope(GROUP_SCOPE, filter=only)
        self.assertEqual([self.principal], [one.principal_id for one in instances])
        taken = requests.create(GROUP_SCOPE, str(uuid.uuid4()), self.request("AdminRemove"))
        self.assertEqual("Revoked", taken.status)
        self.assertEqual([], list(self.client.role_eligibility_schedules.list_for_scope(GROUP_SCOPE, filter=only)))

    def test_active_assignment_is_granted_and_listed(self):
        requests = self.client.role_assignment_schedule_requests
        made = requests.create(GROUP_SCOPE, str(uuid.uuid4()), self.request("AdminAssign"))
        self.assertEqual((201, "Provisioned"), (self.status(), made.status))
        only = f"principalId eq '{self.principal}'"
        schedules = self.client.role_assignment_schedules.list_for_scope(GROUP_SCOPE, filter=only)
        self.assertEqual([self.principal], [one.principal_id for one in schedules])
        instances = self.client.role_assignment_schedule_instances.list_for_scope(GROUP_SCOPE, filter=only)
        self.assertEqual([self.principal], [one.principal_id for one in instances])

    def test_second_request_of_the_same_name_is_refused(self):
        requests, name = self.client.role_eligibility_schedule_requests, str(uuid.uuid4())
        requests.create(GROUP_SCOPE, name, self.request("AdminAssign"))
        with self.assertRaises(HttpResponseError) as refused:
            requests.create(GROUP_SCOPE, name, self.request("AdminAssign"))
        self.assertIn(refused.exception.status_code, (400, 409))

    def test_removal_of_what_is_not_there_is_refused(self):
        requests = self.client.role_eligibility_schedule_requests
        with self.assertRaises(HttpResponseError) as refused:
            requests.create(GROUP_SCOPE, str(uuid.uuid4()), self.request("AdminRemove"))
        self.assertIn(refused.exception.status_code, (400, 404))


if __name__ == "__main__":
    unittest.main()
