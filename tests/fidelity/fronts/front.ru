# A Rack application for puma: calls by the request's own thread, by threads that it makes, and by some that were there
# before it.
require 'net/http'
require 'redis'

PEER = URI(ENV['TEST_PEER'])

TAKEN = Queue.new
3.times do
  Thread.new do
    loop do
      name, number, done = TAKEN.pop
      Net::HTTP.get(PEER.host, "/c/#{name}/#{number}", PEER.port)
      done << number
    end
  end
end

run(lambda do |environment|
  _, _, name, mode, count = environment['PATH_INFO'].split('/')
  if mode == 'queue'
    done = Queue.new
    count.to_i.times { |number| TAKEN << [name, number, done] }
    count.to_i.times { done.pop }
    next [200, { 'Content-Type' => 'text/plain' }, [name]]
  end
  if mode == 'threads'
    count.to_i.times.map { |number|
      Thread.new { Net::HTTP.get(PEER.host, "/c/#{name}/#{number}", PEER.port) }
    }.each(&:join)
    next [200, { 'Content-Type' => 'text/plain' }, [name]]
  end
  count.to_i.times do |number|
    (Thread.current[:store] ||= Redis.new(port: ENV['TEST_REDIS'].to_i)).get("id:#{name}:#{number}")
    Net::HTTP.get(PEER.host, "/c/#{name}/#{number}", PEER.port)
  end
  [200, { 'Content-Type' => 'text/plain' }, [name]]
end)
