# usage: http_ruby.rb URL SCRIPT: makes the script's requests over kept-alive connections.
require 'net/http'
require 'uri'

url = URI(ARGV[0])
Net::HTTP.start(url.host, url.port, nil, use_ssl: url.scheme == 'https') do |http|
  File.readlines(ARGV[1], chomp: true).each do |line|
    method, target, size = line.split
    body = size == '0' ? nil : 'x' * size.to_i
    request = Net::HTTPGenericRequest.new(method, !body.nil?, method != 'HEAD', target)
    request['Content-Type'] = 'text/plain' if body
    response = http.request(request, body)
    puts "#{method} #{target} #{response.code} #{response.body.to_s.bytesize}"
  end
end
