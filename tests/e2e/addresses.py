"""Every address that answers GET: what is looked at in a browser, by whom, and what is no page.

`{name}` in an address is a name of `tests.e2e.full_shop.fill`.
"""

SHOP = {
    "/": ["/"],
    "/products": ["/products?q=ball"],
    "/products/<slug>": ["/products/{slug}"],
    "/cart": ["/cart"],
    "/checkout": ["/checkout"],
    "/orders/find": ["/orders/find"],
    "/orders/<token>": ["/orders/{arrived}", "/orders/{transfer}", "/orders/{booked}"],
    "/orders/<token>/pay": ["/orders/{unpaid}/pay"],
    "/orders/<token>/returns/new": ["/orders/{arrived}/returns/new"],
    "/orders/<token>/returns/<int:return_id>": ["/orders/{arrived}/returns/{return_id}"],
    "/pay/<gateway_key>/<reference>": ["/pay/swish/{swish}", "/pay/razorpay/{razorpay}"],
    "/track/<path:awb>": ["/track/{awb}"],
    "/messages/cart/<token>": ["/messages/cart/{cart_link}"],
    "/messages/stop/<token>": ["/messages/stop/{stop_link}"],
}
"""What a guest sees who has something in the cart."""

DOORS = {
    "/account/sign-in": ["/account/sign-in"],
    "/account/sign-in/code": ["/account/sign-in/code"],
    "/account/register": ["/account/register"],
    "/account/reset": ["/account/reset"],
    "/account/reset/<token>": ["/account/reset/{reset_link}"],
    "/account/confirm/<token>": ["/account/confirm/{confirm_link}"],
    "/account/move/<token>": ["/account/move/{move_link}"],
    "/sandbox/": ["/sandbox/"],
    "/sandbox/pay/<public_id>": ["/sandbox/pay/{public_id}"],
    "/sandbox/pay/<public_id>/confirming": ["/sandbox/pay/{public_id}/confirming"],
    "/sandbox/parcels": ["/sandbox/parcels"],
    "/sandbox/mailbox": ["/sandbox/mailbox"],
    "/sandbox/mailbox/<int:notification_id>": ["/sandbox/mailbox/{message_id}"],
}
"""What is open to everybody before they have signed in; here the owner owes the code of their app."""

ACCOUNT = {
    "/account/orders": ["/account/orders"],
    "/account/addresses": ["/account/addresses"],
    "/account/addresses/<int:address_id>": ["/account/addresses/{address_id}"],
    "/account/security": ["/account/security"],
    "/account/second-factor": ["/account/second-factor"],
    "/account/step-up": ["/account/step-up"],
    "/account/messages": ["/account/messages"],
    "/account/export": ["/account/export"],
    "/account/delete": ["/account/delete"],
    "/checkout": ["/checkout"],
}
"""What a customer sees who has ordered, and is about to order again."""

ORDERS = {
    "/admin/": ["/admin/"],
    "/admin/orders": ["/admin/orders"],
    "/admin/orders/<number>": ["/admin/orders/{arrived_number}", "/admin/orders/{parcels_number}"],
    "/admin/orders/<number>/refund": ["/admin/orders/{arrived_number}/refund"],
    "/admin/orders/<number>/steps/<event>": ["/admin/orders/{arrived_number}/steps/returned"],
    "/admin/orders/<number>/parcels/new": ["/admin/orders/{parcels_number}/parcels/new"],
    "/admin/orders/<number>/shipments/<int:shipment_id>/carriers": [
        "/admin/orders/{parcels_number}/shipments/{parcel_id}/carriers"
    ],
    "/admin/orders/<number>/shipments/<int:shipment_id>/number": [
        "/admin/orders/{parcels_number}/shipments/{by_hand_id}/number"
    ],
    "/admin/returns": ["/admin/returns"],
    "/admin/returns/<int:return_id>": ["/admin/returns/{return_id}"],
    "/admin/desks": ["/admin/desks?desk=unmatched"],
    "/admin/desks/statements": ["/admin/desks/statements"],
    "/admin/desks/statements/<int:statement_id>": ["/admin/desks/statements/{statement_id}"],
    "/admin/disputes": ["/admin/disputes"],
    "/admin/takings": ["/admin/takings"],
    "/admin/gift-cards": ["/admin/gift-cards"],
    "/admin/gateways": ["/admin/gateways"],
    "/account/second-factor": ["/account/second-factor"],
}
"""The owner's pages of orders and money; and their own second factor, which is on."""

REST = {
    "/admin/stock": ["/admin/stock"],
    "/admin/stock/movements": ["/admin/stock/movements"],
    "/admin/shipping": ["/admin/shipping"],
    "/admin/channels": ["/admin/channels"],
    "/admin/kept-out": ["/admin/kept-out"],
    "/admin/messages": ["/admin/messages"],
    "/admin/messages/<int:notification_id>": ["/admin/messages/{message_id}"],
    "/admin/messages/words": ["/admin/messages/words"],
    "/admin/messages/words/<template>/<channel>/<language>": [
        "/admin/messages/words/order_confirmed/email/en"
    ],
    "/admin/jobs": ["/admin/jobs?status=failed"],
    "/admin/jobs/<int:job_id>": ["/admin/jobs/{job_id}"],
    "/admin/jobs/schedule": ["/admin/jobs/schedule"],
    "/admin/webhooks": ["/admin/webhooks"],
    "/admin/webhooks/<int:event_id>": ["/admin/webhooks/{event_id}"],
    "/admin/incidents": ["/admin/incidents"],
    "/admin/incidents/<int:incident_id>": ["/admin/incidents/{incident_id}"],
    "/admin/audit": ["/admin/audit"],
    "/admin/settings": ["/admin/settings"],
}
"""The owner's other pages."""

AREAS = {"shop": SHOP, "doors": DOORS, "account": ACCOUNT, "orders": ORDERS, "rest": REST}

IN_BOTH_COLOURS = {
    "/account/addresses",
    "/account/security",
    "/admin/orders",
    "/admin/orders/{arrived_number}",
    "/admin/orders/{arrived_number}/refund",
    "/admin/orders/{arrived_number}/steps/returned",
    "/admin/stock",
    "/admin/webhooks",
}
"""Half of all pages are looked at in light colours, half in dark ones. These hold the parts and colours
of the account's and the admin's others. Those of the shop: tests/cart."""

EXEMPT = {
    "/static/<path:filename>": "files",
    "/healthz": "a line for machines",
    "/readyz": "JSON or a line for machines",
    "/metrics": "figures for machines",
    "/.well-known/security.txt": "text (RFC 9116)",
    "/api/cron/cleanup": "JSON for a cron",
    "/api/orders/<token>/tracking": "JSON",
    "/api/payments/verify/<reference>": "JSON",
    "/webhooks/messages/cloud": "a word repeated to Meta",
    "/pay/<gateway_key>/return": "leads on to the order",
    "/o/<token>": "leads on to the order",
    "/o/<token>/pay": "leads on to the order's pay page",
    "/orders/<token>/hold": "a part of the pay page, and else leads on to it",
    "/account/": "leads on to one's orders",
    "/admin/search": "leads on to the orders",
    "/admin/orders/fresh": "a part of the orders, asked for by their page",
    "/admin/orders/<number>/timeline": "a part of the order, asked for by its page",
    "/admin/jobs/health": "a part of the jobs, asked for by their page",
    "/admin/takings.csv": "a file",
    "/admin/orders/<number>/shipments/<int:shipment_id>/papers/<kind>": "a file",
    "/admin/returns/<int:return_id>/pictures/<int:picture_id>": "a file",
    "/admin/messages/<int:notification_id>/mail": "a mail, framed by its message's page",
    "/admin/messages/words/<template>/<channel>/<language>/preview": "a mail, framed by the editor",
    "/sandbox/mailbox/<int:notification_id>/html": "a mail as a mail program shows it",
}
"""What answers GET and is no page of its own, each with the reason. The pretend providers' APIs: JSON, PDF."""

API_OF_THE_SANDBOX = "/sandbox/api/"
