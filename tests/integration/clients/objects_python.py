"""What programs do with object stores: objects_python.py URL, or only s3, azure or gcs. Prints what came back."""

import sys
import urllib.request

url, wanted = sys.argv[1], sys.argv[2:] or ["s3", "azure", "gcs", "model"]
CONTENT = b"the bytes that nobody may see" * 400


def fetch(target):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(target) as answer:
        print(len(answer.read()))


def s3():
    import boto3
    import botocore.config

    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="AKIASECRET",
        aws_secret_access_key="sk-secret", config=botocore.config.Config(retries={"max_attempts": 1}),
    )
    client.put_object(Bucket="bucket", Key="out/a b.png", Body=CONTENT)
    print(client.get_object(Bucket="bucket", Key="out/a b.png")["Body"].read() == CONTENT)
    print(client.head_object(Bucket="bucket", Key="out/a b.png")["ContentLength"])
    print(client.list_objects_v2(Bucket="bucket")["KeyCount"])
    signed = client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "out/a b.png"})
    fetch(signed)
    client.delete_object(Bucket="bucket", Key="out/a b.png")
    try:
        client.get_object(Bucket="bucket", Key="missing")
    except client.exceptions.NoSuchKey as error:
        print(type(error).__name__)


def azure():
    from azure.storage.blob import BlobServiceClient, generate_blob_sas

    key = "c2stc2VjcmV0LWtleQ=="
    service = BlobServiceClient(f"{url}/account", credential={"account_name": "account", "account_key": key})
    blob = service.get_blob_client("container", "out/b.png")
    blob.upload_blob(CONTENT, overwrite=True)
    print(blob.download_blob().readall() == CONTENT)
    token = generate_blob_sas(
        "account", "container", "out/b.png", account_key=key, permission="r", expiry="2030-01-01T00:00:00Z"
    )
    fetch(f"{url}/account/container/out/b.png?{token}")
    blob.delete_blob()


def gcs():
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client("project", AnonymousCredentials(), client_options={"api_endpoint": url})
    blob = client.bucket("bucket").blob("out/c.png")
    blob.upload_from_string(CONTENT, "image/png", retry=None)
    print(blob.download_as_bytes(retry=None, checksum=None) == CONTENT)


def model():
    fetch(url + "/models/sd.safetensors")


for name in wanted:
    {"s3": s3, "azure": azure, "gcs": gcs, "model": model}[name]()
