<?php
// A router for `php -S`: the calls of a request by curl and by phpredis, one after the other; or in pairs (`multi`).
[, , $name, $mode, $count] = explode('/', $_SERVER['REQUEST_URI']);
$store = new Redis();
$store->connect('127.0.0.1', (int) getenv('TEST_REDIS'));

function call_of(string $name, int $number): CurlHandle
{
    $call = curl_init(getenv('TEST_PEER') . "/c/$name/$number");
    curl_setopt($call, CURLOPT_RETURNTRANSFER, true);
    return $call;
}

for ($number = 0; $number < (int) $count; $number++) {
    $store->get("id:$name:$number");
    if ($mode === 'seq') {
        assert(curl_exec(call_of($name, $number)) !== false);
        continue;
    }
    $both = curl_multi_init();
    $calls = [call_of($name, 2 * $number), call_of($name, 2 * $number + 1)];
    foreach ($calls as $call) {
        curl_multi_add_handle($both, $call);
    }
    do {
        curl_multi_exec($both, $running);
        curl_multi_select($both);
    } while ($running);
    foreach ($calls as $call) {
        assert(curl_multi_getcontent($call) !== '');
    }
}
echo $name;
