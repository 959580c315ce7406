//! What Redis does in one step: the two decisions about documents that no plain command can make.

use redis::Script;

/// Puts documents; returns how many, or -1 where the mark of the life is another.
/// For each: epoch, version, how long it lasts, the document.
const PUT: &str = r"
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local put = 0
for i = 2, #KEYS do
  local a = (i - 2) * 4 + 2
  local old = redis.pcall('GETRANGE', KEYS[i], 0, 48)
  local epoch, version
  if type(old) == 'string' then epoch, version = string.match(old, '^(%d+) (%d+) ') end
  epoch, version = tonumber(epoch or -1), tonumber(version or -1)
  local e, v = tonumber(ARGV[a]), tonumber(ARGV[a + 1])
  if e > epoch or (e == epoch and v >= version) then
    local value = ARGV[a] .. ' ' .. ARGV[a + 1] .. ' ' .. ARGV[a + 3]
    redis.call('SET', KEYS[i], value, 'PX', ARGV[a + 2])
    put = put + 1
  end
end
return put
";

/// Moves the line forward, never back.
const MOVE_LINE: &str = r"
local old = redis.pcall('GET', KEYS[1])
local at = tonumber(ARGV[1])
if type(old) == 'string' and tonumber(old) and tonumber(old) > at then at = tonumber(old) end
redis.call('SET', KEYS[1], string.format('%.0f', at), 'PX', ARGV[2])
return 1
";

/// The scripts, with the names under which a server keeps them.
pub(super) struct Scripts {
    pub put: Script,
    pub move_line: Script,
}

impl Scripts {
    pub fn new() -> Scripts {
        Scripts { put: Script::new(PUT), move_line: Script::new(MOVE_LINE) }
    }
}
