# A Rack application for puma.
require 'net/http'
require 'redis'

PEER = URI(ENV['TEST_PEER'])

run(lambda do |environment|
  _, _, name, _, count = environment['PATH_INFO'].split('/')
  count.to_i.times do |number|
    (Thread.current[:store] ||= Redis.new(port: ENV['TEST_REDIS'].to_i)).get("id:#{name}:#{number}")
    Net::HTTP.get(PEER.host, "/c/#{name}/#{number}", PEER.port)
  end
  [200, { 'Content-Type' => 'text/plain' }, [name]]
end)
