// Opens Razorpay's window on its pay page, and brings what it hands over back to the shop.
(() => {
  "use strict";
  const open = (button) => {
    if (!window.Razorpay) {
      document.getElementById("razorpay-missing").hidden = false;
      return;
    }
    const given = button.dataset;
    const seconds = Math.floor((new Date(given.until) - Date.now()) / 1000);
    const pay = new window.Razorpay({
      key: given.key,
      order_id: given.order,
      amount: Number(given.amount),
      currency: given.currency,
      name: given.name,
      description: given.description,
      prefill: { email: given.email, contact: given.phone },
      notes: { reference: given.reference },
      timeout: Math.max(seconds, 1),
      modal: { confirm_close: true },
      handler: (paid) => {
        const form = document.getElementById("razorpay-back");
        for (const name of ["razorpay_payment_id", "razorpay_order_id", "razorpay_signature"]) {
          form.elements[name].value = paid[name] ?? "";
        }
        form.submit();
      },
    });
    pay.open();
  };
  // The button is drawn anew while the page asks how the payment stands.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("#razorpay-open");
    if (button) open(button);
  });
  const first = document.getElementById("razorpay-open");
  if (first) open(first);
})();
