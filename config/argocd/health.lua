-- The health of every kind of mlops-operator.dev, by the rules of kstatus: conditions Ready, Reconciling and Stalled,
-- and observedGeneration. What waits for a person's approval is Suspended, which fails no sync.
local health = {status = "Progressing", message = "the operator has not seen it yet"}
if obj.kind == "DecisionRecord" then
  return {status = "Healthy", message = "an entry of the log"}
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end
local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready
if ready == nil then
  return health
end
health.message = ready.message
local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end
if holds("ApprovalRequired") then
  health.status = "Suspended"
elseif holds("Stalled") then
  health.status = "Degraded"
  health.message = conditions.Stalled.message
elseif ready.status == "True" then
  health.status = "Healthy"
end
return health
