# usage: redis_ruby.rb HOST PORT SCRIPT: runs the script's commands with redis-rb, then some of its own.
require 'redis'

def short(value)
  text = value.inspect
  text.size > 200 ? "#{text.size} characters" : text
end

options = { host: ARGV[0], port: ARGV[1].to_i }
options.update(ssl: true) if ENV['TEST_CERTIFICATE']
client = Redis.new(**options)
File.readlines(ARGV[2], chomp: true).each do |line|
  words = line.split(' ').map { |word| word.start_with?('@') ? 'x' * word[1..].to_i : word }
  begin
    puts "#{words[0]} #{short(client.call(words))}"
  rescue Redis::CommandError => e
    puts "#{words[0]} error #{e.message}"
  end
end
puts "pipeline #{client.pipelined { |pipe| 10.times { |n| pipe.set("p:#{n}", n) } }}"
puts "transaction #{client.multi { |pipe| pipe.set('t', 1); pipe.incr('t') }}"
ready = Queue.new
subscriber = Thread.new do
  count = 0
  Redis.new(**options).subscribe('news') do |on|
    on.subscribe { ready << true }
    on.message do |_, text|
      puts "message #{text}"
      count += 1
      Thread.exit if count == 3
    end
  end
end
ready.pop
3.times { |n| client.publish('news', "item #{n}") }
subscriber.join
client.close
