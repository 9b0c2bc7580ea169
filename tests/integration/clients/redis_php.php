<?php
// usage: redis_php.php HOST PORT SCRIPT: runs the script's commands with phpredis, then some of its own.
[, $host, $port, $script] = $argv;

function short($value): string
{
    $text = json_encode($value);
    return strlen($text) > 200 ? strlen($text) . ' characters' : $text;
}

$client = new Redis();
$certificate = getenv('TEST_CERTIFICATE');
if ($certificate) {
    $client->connect("tls://$host", (int) $port, 10, null, 0, 0, ['stream' => ['cafile' => $certificate]]);
} else {
    $client->connect($host, (int) $port);
}
foreach (file($script, FILE_IGNORE_NEW_LINES) as $line) {
    $words = array_map(fn ($word) => $word[0] === '@' ? str_repeat('x', (int) substr($word, 1)) : $word, explode(' ', $line));
    $client->clearLastError();
    $value = $client->rawCommand(...$words);
    echo $words[0], ' ', $client->getLastError() ?? short($value), "\n";
}
$pipeline = $client->multi(Redis::PIPELINE);
for ($number = 0; $number < 10; $number++) {
    $pipeline->set("p:$number", $number);
}
echo 'pipeline ', short($pipeline->exec()), "\n";
echo 'transaction ', short($client->multi()->set('t', 1)->incr('t')->exec()), "\n";
$client->close();
